/** Moves the keyboard to a place on the page, wherever it stands, and shows it first where a phone hides it. */
import { signal } from "@preact/signals";

export type Pane = "chart" | "book" | "trades" | "ticket" | "orders";
/** On narrow screens one pane of the trading page is shown at a time. */
export const pane = signal<Pane>("chart");

/**
 * Acts when what was changed just now has been rendered, and before the next key: what is typed quickly behind a
 * shortcut must go into the field that the shortcut leads to. (Rendering is queued as a microtask, this behind it.)
 */
export function whenRendered(act: () => void): void {
  queueMicrotask(() => queueMicrotask(act));
}

export function focusOn(id: string, show?: Pane): void {
  if (show) pane.value = show;
  whenRendered(() => {
    const element = document.getElementById(id);
    element?.focus();
    if (element instanceof HTMLInputElement) element.select();
  });
}

export function focusField(name: string): void {
  focusOn(`ticket-${name}`, "ticket");
}
