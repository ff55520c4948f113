/** Short messages on what was done, and on what was refused. Refusals stay longer. */
import { signal } from "@preact/signals";
import { Failure } from "../net/api";

export interface Toast {
  id: number;
  /** What it is about: a newer one on the same thing takes the place of the older. */
  about: string;
  kind: "done" | "refused" | "note";
  title: string;
  text: string;
}

const SHOWN_MS = { done: 6_000, note: 6_000, refused: 20_000 };
const SHOWN_MAX = 4;

export const toasts = signal<Toast[]>([]);
let last = 0;

export function toast(kind: Toast["kind"], title: string, text = "", about = ""): void {
  const id = (last += 1);
  const others = toasts.value.filter((one) => !about || one.about !== about);
  toasts.value = [...others.slice(-(SHOWN_MAX - 1)), { id, about, kind, title, text }];
  setTimeout(() => dismiss(id), SHOWN_MS[kind]);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

/** What the gateway said, with where and what to do. */
export function told(error: unknown): string {
  if (error instanceof Failure) return [error.message, error.detail, error.hint].filter(Boolean).join(" ");
  return error instanceof Error ? error.message : String(error);
}

export function refused(title: string, error: unknown): void {
  toast("refused", title, told(error));
}
