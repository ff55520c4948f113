/**
 * Orders, fills, balances and positions of the account that is logged in.
 *
 * The stream brings a snapshot and then what happens, each with its place in the journal (`at`) and the place of the
 * one before it (`previous`). Where the two do not meet, something was missed: the channel is subscribed anew, which
 * brings a snapshot. After a lost connection it goes on behind the last place that was seen, so that no fill is missed.
 */
import { batch, computed, effect, signal } from "@preact/signals";
import * as api from "../net/api";
import { Link, type Owner } from "../net/socket";
import type { Balance, Execution, Order, Page, Position, TradingState } from "../net/types";
import { instruments, symbol } from "./market";
import { hasAccount, restore, session, sessionKnown } from "./session";
import { refused, toast } from "./toasts";

const FILLS_MAX = 200;
const POSITIONS_AFTER_MS = 150;
const RETRY_MS = 1_500;
const ENDED: ReadonlySet<string> = new Set(["filled", "cancelled", "expired"]);

export const orders = signal<Map<number, Order>>(new Map());
export const fills = signal<Execution[]>([]);
export const balances = signal<Map<string, Balance>>(new Map());
export const positions = signal<Map<string, Position>>(new Map());
export const accountKnown = signal(false);
export const accountFailed = signal<unknown>(null);
export const accountGaps = signal(0);

export const openOrders = computed(() => [...orders.value.values()].sort((a, b) => b.order_id - a.order_id));
export const openHere = computed(() => {
  const here = instruments.value.find((one) => one.name === symbol.value)?.symbol;
  return openOrders.value.filter((order) => order.symbol === here);
});

/** Sequence of a record and number of the event in it: the order of everything that happens. */
type Place = [number, number];

interface Message {
  op?: string;
  channel?: string;
  type?: string;
  at?: Place;
  previous?: Place | null;
  order?: Order;
  fill?: Execution | null;
  orders?: Order[];
  balances?: Balance[];
  items?: Balance[];
  part?: number;
  parts?: number;
  code?: string;
  message?: string;
}

/** What the gateway says of itself and the market, each second and when a state changes. */
export interface Status {
  live: boolean;
  engine: boolean;
  behind_ns: number;
  lag_records: number;
  everything_halted: boolean;
  instruments: { symbol: string; state: TradingState; auction_ends_ns: number | null }[];
}

export const status = signal<Status | null>(null);

let last: Place | null = null;
/** Which login and connection a late answer belongs to. */
let generation = 0;
let loading = 0;
let positionsTimer = 0;

const above = (a: Place, b: Place): boolean => a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);

function subscribe(): void {
  link.send({ op: "subscribe", channel: "account", id: "account", ...(last ? { after: last } : {}) });
}

/** What the stream does not tell in full: cost and results of positions, and fills from before. */
async function load(what: "all" | "positions"): Promise<void> {
  const [mine, turn] = [generation, (loading += 1)];
  try {
    const [held, executions] = await Promise.all([
      api.get<Page<Position>>("/positions"),
      what === "all" ? api.get<Page<Execution>>("/executions", { limit: 100 }) : null,
    ]);
    if (mine !== generation) return;
    if (turn === loading) positions.value = new Map(held.items.map((one) => [one.symbol, one]));
    if (executions) mergeFills(executions.items);
    accountFailed.value = null;
  } catch (error) {
    if (mine !== generation) return;
    accountFailed.value = error;
    if (session.value) setTimeout(() => mine === generation && void load(what), RETRY_MS);
  }
}

function positionsMoved(): void {
  clearTimeout(positionsTimer);
  positionsTimer = window.setTimeout(() => void load("positions"), POSITIONS_AFTER_MS);
}

const live = (order: Order): boolean => !ENDED.has(order.status);

function putOrder(order: Order): void {
  const there = orders.value.get(order.order_id);
  if (there && there.updated_ns > order.updated_ns) return;
  const next = new Map(orders.value);
  if (live(order)) next.set(order.order_id, order);
  else next.delete(order.order_id);
  orders.value = next;
}

const fillKey = (fill: Execution): string => `${fill.sequence}.${fill.n}`;

function mergeFills(more: Execution[]): void {
  const all = new Map([...more, ...fills.value].map((fill) => [fillKey(fill), fill]));
  const newest = [...all.values()].sort((a, b) => b.sequence - a.sequence || b.n - a.n);
  fills.value = newest.slice(0, FILLS_MAX);
}

function putFill(fill: Execution, order: Order): void {
  if (fills.value.some((one) => fillKey(one) === fillKey(fill))) return;
  mergeFills([fill]);
  const what = `${fill.side === "buy" ? "Bought" : "Sold"} ${fill.quantity} ${fill.symbol}`;
  const whole = `order ${fill.order_id}: ${order.filled} of ${order.quantity} filled`;
  toast("done", `${what} at ${fill.price}`, whole, `order ${fill.order_id}`);
}

/**
 * An order, an amendment or a cancel that this page sent has been answered. Only what is there already is changed: a new
 * order comes by the stream, which alone knows whether it has ended since.
 */
export function answered(order: Order): void {
  if (orders.value.has(order.order_id)) putOrder(order);
}

const owner: Owner = {
  opened() {
    generation += 1;
    link.send({ op: "subscribe", channel: "status", id: "status" });
    if (!hasAccount.value) return;
    subscribe();
    void load("all");
  },
  received(raw) {
    const message = raw as Message;
    if (message.op === "error") onRefused(message);
    else if (message.op === "logout") void restore();
    else if (message.op) return;
    else if (message.channel === "account") onAccount(message);
    else if (message.channel === "status") onStatus(raw as Status);
  },
  lost() {
    generation += 1;
  },
};

function onRefused(message: Message): void {
  accountFailed.value = new api.Failure(400, message.code ?? "refused", message.message ?? "The stream was refused.");
}

function onAccount(message: Message): void {
  const { at } = message;
  if (message.type === "snapshot") {
    last = at ?? null;
    const first = (message.part ?? 1) === 1;
    batch(() => {
      const part = (message.orders ?? []).filter(live).map((order) => [order.order_id, order] as const);
      orders.value = new Map(first ? part : [...orders.value, ...part]);
      if (message.balances) balances.value = new Map(message.balances.map((one) => [one.asset, one]));
      accountKnown.value = message.part === message.parts;
    });
    if (first) positionsMoved();
    return;
  }
  if (message.type === "balances") {
    const next = new Map(balances.value);
    for (const one of message.items ?? []) next.set(one.asset, one);
    balances.value = next;
    return;
  }
  if (message.type === "positions") {
    positionsMoved();
    return;
  }
  if (!at || (last && !above(at, last))) return;
  if (last && message.previous && above(message.previous, last)) {
    accountGaps.value += 1;
    last = null;
    subscribe();
    return;
  }
  last = at;
  batch(() => {
    if (message.type !== "order" || !message.order) return;
    putOrder(message.order);
    if (message.fill) putFill(message.fill, message.order);
  });
}

function onStatus(message: Status): void {
  status.value = message;
  const told = new Map(message.instruments.map((one) => [one.symbol, one]));
  const moved = instruments.value.some((one) => told.has(one.symbol) && told.get(one.symbol)?.state !== one.state);
  if (moved) instruments.value = instruments.value.map((one) => ({ ...one, ...told.get(one.symbol) }));
}

export const link = new Link(
  owner,
  () => ({ op: "ping" }),
  (message) => (message as Message).op === "pong",
);

function forget(): void {
  generation += 1;
  last = null;
  batch(() => {
    orders.value = new Map();
    fills.value = [];
    balances.value = new Map();
    positions.value = new Map();
    accountKnown.value = false;
    accountFailed.value = null;
  });
}

export function startAccount(): void {
  let who: string | null = null;
  effect(() => {
    if (!sessionKnown.value) return;
    const now = session.value ? `${session.value.key_id} ${session.value.account}` : "";
    if (now === who) return;
    who = now;
    forget();
    // The cookie counts when the connection is made: another login is another connection.
    link.stop();
    link.start("/api/v1/stream");
  });
}

export async function cancelOrder(order: Order): Promise<void> {
  try {
    const done = await api.call<{ order: Order }>("DELETE", `/orders/${order.order_id}`);
    answered(done.order);
    toast("note", `Order ${order.order_id} cancelled`);
  } catch (error) {
    refused(`Order ${order.order_id} was not cancelled`, error);
  }
}

/** Raises what it was refused with: who asked shows it. */
export async function cancelAll(): Promise<void> {
  await api.call("POST", "/controls/cancel-all", {}, {});
  toast("note", "All open orders cancelled");
}
