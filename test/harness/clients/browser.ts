// A real browser: Debian's Chromium, without a window, on loopback alone.
import type { TestContext } from 'node:test'
import type { Page } from 'playwright-core'
import { chromium } from 'playwright-core'
import { findProgram } from '../../requirements.ts'

/** Nothing that calls home; no sandbox, which a root has none of. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export interface BrowserPage {
  readonly page: Page
  /** Whatever went wrong in it: exceptions, errors on the console, requests that failed. */
  readonly problems: string[]
}

export async function openPage(t: TestContext, url: string): Promise<BrowserPage> {
  const executablePath = findProgram('chromium')
  if (executablePath === undefined) throw new Error('there is no chromium')
  const browser = await chromium.launch({ executablePath, args: ARGUMENTS })
  t.after(async () => await browser.close())
  const page = await browser.newPage({
    viewport: { width: 1200, height: 1000 },
    // Of the tests' own CA.
    ignoreHTTPSErrors: true,
  })
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text())
  })
  await page.goto(url)
  return { page, problems }
}
