/** Fetched once or again and again, with its failure beside it: pages show the one or the other, never neither. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export interface Fetched<T> {
  data: Signal<T | null>;
  error: Signal<unknown>;
  reload: () => void;
}

/** everyMs 0: once. What was fetched before stays on the page while an attempt fails. */
export function useFetched<T>(fetch: () => Promise<T>, everyMs: number, keys: unknown[]): Fetched<T> {
  const data = useSignal<T | null>(null);
  const error = useSignal<unknown>(null);
  const turn = useSignal(0);
  useEffect(() => {
    let live = true;
    let timer = 0;
    const run = async (): Promise<void> => {
      try {
        const got = await fetch();
        if (!live) return;
        data.value = got;
        error.value = null;
      } catch (failure) {
        if (!live) return;
        error.value = failure;
      }
      if (everyMs > 0) timer = window.setTimeout(() => void run(), document.hidden ? everyMs * 5 : everyMs);
    };
    void run();
    return () => {
      live = false;
      clearTimeout(timer);
    };
  }, [...keys, turn.value]);
  return { data, error, reload: () => (turn.value += 1) };
}
