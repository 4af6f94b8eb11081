/** `pnpm test:long`: samples have their full size; else one that fits an everyday run. Set by test/run.ts. */
export const IS_FULL = process.env['REVERSE_PROXY_TEST_SIZE'] === 'full'
