/** How long to wait before the next attempt: doubling up to a bound, spread so that not all clients come at once. */
export const FIRST_MS = 400;
export const MOST_MS = 8_000;

/** attempt counts from 0; random is in [0, 1). Between half of the full wait and all of it. */
export function waitMs(attempt: number, random: number): number {
  const full = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full * (0.5 + random / 2));
}
