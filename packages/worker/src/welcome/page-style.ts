// The look of the welcome page: one style sheet, light and dark by what the reader's system prefers.

export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --ground: light-dark(#f6f7f4, #10140f);
  --card: light-dark(#ffffff, #181d17);
  --line: light-dark(#dfe3da, #2b3229);
  --ink: light-dark(#1a2118, #e7ece4);
  --quiet: light-dark(#5a6455, #9aa694);
  --accent: light-dark(#1f6f3f, #7ed29b);
  --tint: light-dark(#e6f2e9, #1d3325);
  --mono: ui-monospace, 'SF Mono', 'Cascadia Code', 'JetBrains Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace;
}
* { box-sizing: border-box; }
body {
  margin: 0;
  padding: clamp(1.5rem, 5vw, 4.5rem) clamp(1rem, 4vw, 2rem);
  background: var(--ground);
  color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif;
}
main { max-width: 54rem; margin: 0 auto; }
header { margin-bottom: 2.5rem; }
.status {
  display: inline-flex; align-items: center; gap: .5rem; margin: 0;
  font-size: .875rem; font-weight: 600; color: var(--accent);
}
.status svg { width: 1.1rem; height: 1.1rem; }
h1 { margin: .35rem 0 .75rem; font-size: clamp(1.9rem, 5vw, 2.75rem); line-height: 1.15; letter-spacing: -.02em; text-wrap: balance; }
.lead { max-width: 42rem; margin: 0; font-size: 1.1rem; color: var(--quiet); text-wrap: pretty; }
section { margin-top: 2.5rem; }
h2 { margin: 0 0 .25rem; font-size: 1.2rem; letter-spacing: -.01em; }
h2 + p { margin: 0 0 1rem; color: var(--quiet); }
.card { border: 1px solid var(--line); border-radius: .75rem; background: var(--card); overflow: hidden; }
.request-line {
  display: flex; flex-wrap: wrap; align-items: baseline; gap: .4rem .75rem;
  padding: .9rem 1.1rem; border-bottom: 1px solid var(--line);
  font-family: var(--mono); font-size: .95rem;
}
.method { font-weight: 700; color: var(--accent); }
.path { flex: 1 1 12rem; overflow-wrap: anywhere; }
.worker { font: 600 .8rem/1.6 system-ui, sans-serif; padding: .1rem .65rem; border-radius: 1rem; background: var(--tint); color: var(--accent); }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: .5rem 1.1rem; text-align: left; vertical-align: baseline; font-weight: 400; }
tr + tr > * { border-top: 1px solid var(--line); }
th { width: 15rem; color: var(--quiet); font-family: var(--mono); }
td { font-family: var(--mono); overflow-wrap: anywhere; white-space: pre-wrap; }
tr.ours { background: var(--tint); }
tr.ours th { color: var(--accent); font-weight: 600; }
.legend { margin: .75rem 0 0; font-size: .875rem; color: var(--quiet); }
.legend::before {
  content: ''; display: inline-block; width: .8em; height: .8em; margin-right: .5em; vertical-align: -.05em;
  border: 1px solid var(--accent); border-radius: .2em; background: var(--tint);
}
ol { margin: 0; padding: 0; list-style: none; }
li + li { margin-top: 1rem; }
li p { margin: 0 0 .4rem; }
pre { margin: 0; padding: .8rem 1.1rem; overflow-x: auto; font: .875rem/1.65 var(--mono); tab-size: 2; }
pre:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 40rem) {
  th, td { display: block; width: auto; padding: .55rem 1rem 0; }
  td { padding: 0 1rem .55rem; }
  tr + tr > td { border-top: 0; }
}
`
