/** The book as a ladder: asks above, bids below, a bar for what stands at each price, own orders marked. */
import { computed, effect, signal, useComputed, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { grouped, type Level } from "../lib/book";
import { decimal, shown, text, unitsAt } from "../lib/decimal";
import type { Instrument } from "../net/types";
import { openHere } from "../state/account";
import { bookLive, bookTurn, currentBook, instrument, lastPrice } from "../state/market";
import { edit } from "../state/ticket";
import { focusField } from "../state/focus";
import { Panel } from "./parts";

const ROW_PX = 20;
const STEPS = [1, 5, 10, 50, 100, 500, 1000] as const;

const step = signal<number>(1);

/** Lots of the own open orders by side and displayed price. */
const own = computed(() => {
  const out = new Map<string, bigint>();
  const now = instrument.value;
  if (!now) return out;
  const tick = unitsAt(decimal(now.tick_size), now.price_decimals) * BigInt(step.value);
  for (const order of openHere.value) {
    if (order.price === null || order.status === "waiting") continue;
    const price = unitsAt(decimal(order.price), now.price_decimals);
    const below = price - (price % tick);
    const shownAt = order.side === "sell" && below !== price ? below + tick : below;
    const key = `${order.side}${shownAt}`;
    out.set(key, (out.get(key) ?? 0n) + unitsAt(decimal(order.remaining), now.quantity_decimals));
  }
  return out;
});

interface Row extends Level {
  side: "buy" | "sell";
  total: bigint;
}

function withTotals(levels: Level[], side: Row["side"]): Row[] {
  let total = 0n;
  return levels.map((level) => ({ ...level, side, total: (total += level.quantity) }));
}

export function Ladder(): JSX.Element {
  const list = useRef<HTMLDivElement>(null);
  const perSide = useSignal(12);
  const chosen = useSignal<{ side: Row["side"]; price: bigint } | null>(null);

  useEffect(() => {
    const element = list.current;
    if (!element) return undefined;
    const watch = new ResizeObserver(() => {
      perSide.value = Math.max(4, Math.floor((element.clientHeight - 34) / ROW_PX / 2));
    });
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  useEffect(
    () =>
      effect(() => {
        void instrument.value?.name;
        chosen.value = null;
        step.value = 1;
      }),
    [],
  );

  const rows = useComputed(() => {
    void bookTurn.value;
    const now = instrument.value;
    const book = currentBook();
    if (!now) return { asks: [], bids: [] };
    const by = unitsAt(decimal(now.tick_size), now.price_decimals) * BigInt(step.value);
    return {
      asks: withTotals(grouped(book.asks, by, true, perSide.value), "sell"),
      bids: withTotals(grouped(book.bids, by, false, perSide.value), "buy"),
    };
  });

  const all = (): Row[] => [...[...rows.value.asks].reverse(), ...rows.value.bids];

  const take = (row: { price: bigint }): void => {
    edit({ price: text(currentBook().price(row.price)) });
    focusField("price");
  };

  const keys = (event: KeyboardEvent): void => {
    const now = all();
    if (now.length === 0) return;
    const at = now.findIndex((row) => row.side === chosen.value?.side && row.price === chosen.value.price);
    const move: Record<string, number> = {
      ArrowUp: at - 1,
      ArrowDown: at + 1,
      PageUp: at - 8,
      PageDown: at + 8,
      Home: 0,
      End: now.length - 1,
    };
    if (event.key in move) {
      event.preventDefault();
      const to = at < 0 ? rows.value.asks.length : Math.min(now.length - 1, Math.max(0, move[event.key]!));
      const row = now[Math.min(to, now.length - 1)]!;
      chosen.value = { side: row.side, price: row.price };
    } else if (event.key === "Escape" && chosen.value) {
      event.stopPropagation();
      chosen.value = null;
    } else if (at >= 0 && (event.key === "Enter" || event.key === "b" || event.key === "s")) {
      event.preventDefault();
      event.stopPropagation();
      if (event.key !== "Enter") edit({ side: event.key === "b" ? "buy" : "sell" });
      take(now[at]!);
    }
  };

  const now = instrument.value;
  const { asks, bids } = rows.value;
  const most = [...asks, ...bids].reduce((top, row) => (row.quantity > top ? row.quantity : top), 1n);
  return (
    <Panel class="ladder-panel" title="Order book" tools={now && <StepChoice instrument={now} />}>
      <div class="ladder-head" aria-hidden="true">
        <span>Price {now?.quote}</span>
        <span>Size {now?.base}</span>
        <span>Total</span>
      </div>
      <div
        class={`ladder ${bookLive.value ? "" : "stale"}`}
        ref={list}
        role="listbox"
        id="ladder"
        tabIndex={0}
        aria-label="Order book. Arrow keys choose a price, Enter takes it into the ticket, B or S also sets the side."
        aria-activedescendant={chosen.value ? `level-${chosen.value.side}-${chosen.value.price}` : undefined}
        onKeyDown={keys}
      >
        <div class="asks">
          {[...asks].reverse().map((row) => (
            <LadderRow key={`s${row.price}`} row={row} most={most} chosen={chosen.value} onTake={take} />
          ))}
          {asks.length === 0 && <p class="ladder-none">{bookLive.value ? "No offers" : ""}</p>}
        </div>
        <Middle />
        <div class="bids">
          {bids.map((row) => (
            <LadderRow key={`b${row.price}`} row={row} most={most} chosen={chosen.value} onTake={take} />
          ))}
          {bids.length === 0 && <p class="ladder-none">{bookLive.value ? "No bids" : ""}</p>}
        </div>
      </div>
    </Panel>
  );
}

function StepChoice(props: { instrument: Instrument }): JSX.Element {
  const tick = decimal(props.instrument.tick_size);
  return (
    <label class="inline">
      <span class="sr">Group prices by</span>
      <select
        id="ladder-step"
        value={step.value}
        onChange={(event) => (step.value = Number(event.currentTarget.value))}
      >
        {STEPS.map((times) => (
          <option key={times} value={times}>
            {text({ units: tick.units * BigInt(times), scale: tick.scale })}
          </option>
        ))}
      </select>
    </label>
  );
}

function LadderRow(props: {
  row: Row;
  most: bigint;
  chosen: { side: string; price: bigint } | null;
  onTake: (row: Row) => void;
}): JSX.Element {
  const { row, most } = props;
  const book = currentBook();
  const mine = own.value.get(`${row.side}${row.price}`);
  const isChosen = props.chosen?.side === row.side && props.chosen.price === row.price;
  return (
    <div
      class={`level ${row.side}`}
      role="option"
      id={`level-${row.side}-${row.price}`}
      aria-selected={isChosen}
      title={mine ? `Own orders here: ${shown(book.quantity(mine))}` : undefined}
      onClick={() => props.onTake(row)}
    >
      <i class="depth-bar" style={{ width: `${Number((row.quantity * 1000n) / most) / 10}%` }} />
      <span class="price num">
        {mine !== undefined && <b class="mine" aria-label="own order" />}
        {shown(book.price(row.price))}
      </span>
      <span class="num">{shown(book.quantity(row.quantity))}</span>
      <span class="num faint">{shown(book.quantity(row.total))}</span>
    </div>
  );
}

function Middle(): JSX.Element {
  void bookTurn.value;
  const book = currentBook();
  const [ask, bid] = [book.asks[0], book.bids[0]];
  const last = lastPrice.value;
  return (
    <div class="ladder-middle" role="presentation">
      <strong class="num">{last ? shown(last, instrument.value?.price_decimals) : "–"}</strong>
      <span class="muted num">
        {bookLive.value
          ? ask && bid
            ? `spread ${shown(book.price(ask.price - bid.price))}`
            : "one-sided"
          : "not live: mending"}
      </span>
    </div>
  );
}
