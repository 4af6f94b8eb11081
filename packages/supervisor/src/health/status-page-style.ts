// The look of the status page: one style sheet, light and dark by what the reader's system prefers.

export const STATUS_STYLE = `
:root {
  color-scheme: light dark;
  --ground: light-dark(#f6f7f4, #10140f); --card: light-dark(#fff, #181d17); --line: light-dark(#dfe3da, #2b3229);
  --ink: light-dark(#1a2118, #e7ece4); --quiet: light-dark(#5a6455, #9aa694);
  --good: light-dark(#1f6f3f, #7ed29b); --warn: light-dark(#8a5a00, #e6b450); --bad: light-dark(#a3261b, #ff8f80);
}
* { box-sizing: border-box; }
body { margin: 0; padding: clamp(1rem, 3vw, 2.5rem); background: var(--ground); color: var(--ink); font: .95rem/1.5 system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
main { max-width: 72rem; margin: 0 auto; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; }
h1 { margin: 0; font-size: 1.5rem; letter-spacing: -.01em; }
h2 { margin: 2rem 0 .5rem; font-size: 1.05rem; }
header p { margin: 0; color: var(--quiet); }
#state { font-weight: 600; color: var(--warn); }
.good, #state.good { color: var(--good); } .warn { color: var(--warn); } .bad, #state.bad { color: var(--bad); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; margin-top: 1.5rem; }
figure { margin: 0; padding: .8rem 1rem; border: 1px solid var(--line); border-radius: .6rem; background: var(--card); }
figcaption { display: flex; justify-content: space-between; color: var(--quiet); font-size: .875rem; }
output { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }
svg { display: block; width: 100%; height: 7rem; margin-top: .4rem; overflow: visible; }
svg path { fill: none; stroke: var(--good); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
svg path.second { stroke: var(--warn); }
svg line { stroke: var(--line); vector-effect: non-scaling-stroke; }
table { width: 100%; border-collapse: collapse; border: 1px solid var(--line); border-radius: .6rem; background: var(--card); font-size: .875rem; }
th, td { padding: .4rem .8rem; text-align: left; vertical-align: baseline; overflow-wrap: anywhere; }
th { color: var(--quiet); font-weight: 500; }
tbody tr > * { border-top: 1px solid var(--line); }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
#events td:not(:last-child) { white-space: nowrap; }
td small { display: block; color: var(--quiet); }
@media (max-width: 40rem) { section { overflow-x: auto; } }
`
