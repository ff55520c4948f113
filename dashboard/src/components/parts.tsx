/** Small parts that all pages share. */
import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { type Decimal, rounded, sign, signed } from "../lib/decimal";
import { whenRendered } from "../state/focus";
import { dismiss, toasts, told } from "../state/toasts";

export function Panel(props: {
  title?: ComponentChildren;
  tools?: ComponentChildren;
  class?: string;
  label?: string;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <section
      class={`panel ${props.class ?? ""}`}
      aria-label={props.label ?? (typeof props.title === "string" ? props.title : undefined)}
    >
      {(props.title || props.tools) && (
        <header class="panel-head">
          <h2>{props.title}</h2>
          <div class="tools">{props.tools}</div>
        </header>
      )}
      {props.children}
    </section>
  );
}

export function Empty(props: { title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{props.title}</p>
      {props.children && <p>{props.children}</p>}
    </div>
  );
}

export function Failed(props: { what: string; error: unknown; again?: () => void }): JSX.Element {
  return (
    <div class="empty failed" role="alert">
      <p class="empty-title">{props.what}</p>
      <p>{told(props.error)}</p>
      {props.again && (
        <button type="button" onClick={props.again}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading(props: { what?: string }): JSX.Element {
  return (
    <div class="empty" role="status">
      <span class="spinner" aria-hidden="true" />
      <p>{props.what ?? "Loading"}…</p>
    </div>
  );
}

/** A gain or a loss: its sign says it, colour only repeats it. */
export function Gain(props: { value: Decimal; digits?: number; suffix?: string }): JSX.Element {
  // What is shown as nought is neither a gain nor a loss.
  const way = sign(props.digits === undefined ? props.value : rounded(props.value, props.digits));
  return (
    <span class={`num ${way > 0 ? "gain" : way < 0 ? "loss" : ""}`}>
      {signed(props.value, props.digits)}
      {props.suffix}
    </span>
  );
}

export function SideMark(props: { side: "buy" | "sell" }): JSX.Element {
  return <span class={`side ${props.side}`}>{props.side === "buy" ? "▲ Buy" : "▼ Sell"}</span>;
}

const TONE: Record<string, string> = {
  open: "good",
  up: "good",
  live: "good",
  halted: "bad",
  down: "bad",
  closed: "bad",
  auction: "warn",
  pre_open: "warn",
  degraded: "warn",
  waiting: "warn",
  partly_filled: "note",
  off: "none",
};

export const words = (name: string): string => name.replaceAll("_", " ");

export function Badge(props: { name: string; children?: ComponentChildren }): JSX.Element {
  const tone = TONE[props.name] ?? "none";
  const mark = { good: "●", warn: "◐", bad: "■", note: "◔", none: "○" }[tone];
  return (
    <span class={`badge ${tone}`}>
      <span aria-hidden="true">{mark} </span>
      {props.children ?? words(props.name)}
    </span>
  );
}

/** One of a few: arrow keys move, as in any group of radio buttons. */
export function Segmented<T extends string>(props: {
  label: string;
  options: readonly (readonly [T, ComponentChildren])[];
  value: T;
  onChange: (value: T) => void;
  class?: string;
}): JSX.Element {
  const move = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const at = props.options.findIndex(([value]) => value === props.value);
    const next = props.options[(at + step + props.options.length) % props.options.length]!;
    props.onChange(next[0]);
    const group = event.currentTarget as HTMLElement;
    whenRendered(() => group.querySelector<HTMLElement>('[aria-checked="true"]')?.focus());
  };
  return (
    <div class={`segmented ${props.class ?? ""}`} role="radiogroup" aria-label={props.label} onKeyDown={move}>
      {props.options.map(([value, name]) => (
        <button
          type="button"
          role="radio"
          key={value}
          data-value={value}
          aria-checked={value === props.value}
          tabIndex={value === props.value ? 0 : -1}
          onClick={() => props.onChange(value)}
        >
          {name}
        </button>
      ))}
    </div>
  );
}

/** Use of a limit as a bar. The figures stand beside it; the bar turns when little is left. */
export function Meter(props: {
  name: ComponentChildren;
  part: number;
  text: ComponentChildren;
  limited?: boolean;
}): JSX.Element {
  const part = Math.min(1, Math.max(0, props.part));
  const tone = props.limited === false ? "none" : part >= 0.9 ? "bad" : part >= 0.7 ? "warn" : "good";
  return (
    <div class="meter">
      <div class="meter-name">{props.name}</div>
      <div class="meter-text num">{props.text}</div>
      <div
        class="meter-track"
        role="img"
        aria-label={props.limited === false ? "no limit" : `${Math.round(part * 100)} % used`}
      >
        <div class={`meter-bar ${tone}`} style={{ width: `${part * 100}%` }} />
      </div>
    </div>
  );
}

/** A modal dialog: the browser keeps the focus in it and closes it on Escape. */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  class?: string;
  children: ComponentChildren;
}): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    ref.current?.showModal();
  }, []);
  return (
    <dialog
      ref={ref}
      class={props.class}
      aria-label={props.title}
      onClose={props.onClose}
      onClick={(event) => event.target === ref.current && ref.current?.close()}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2>{props.title}</h2>
          <button type="button" class="quiet" aria-label="Close" onClick={() => ref.current?.close()}>
            ✕
          </button>
        </header>
        {props.children}
      </div>
    </dialog>
  );
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <div class={`toast ${toast.kind}`} key={toast.id} role={toast.kind === "refused" ? "alert" : undefined}>
          <div>
            <strong>{toast.title}</strong>
            {toast.text && <p>{toast.text}</p>}
          </div>
          <button type="button" class="quiet" aria-label="Dismiss" onClick={() => dismiss(toast.id)}>
            ✕
          </button>
        </div>
      ))}
    </div>
  );
}

export function Figure(props: { name: string; children: ComponentChildren; note?: ComponentChildren }): JSX.Element {
  return (
    <div class="figure">
      <span class="figure-name">{props.name}</span>
      <span class="figure-value num">{props.children}</span>
      {props.note && <span class="figure-note">{props.note}</span>}
    </div>
  );
}
