/**
 * Orders, fills, balances and positions of the account that is logged in.
 *
 * The stream brings a snapshot and then what changes, each with its place in the journal and the place of the one before
 * it. Where the two do not meet, something was missed: the channel is subscribed anew, which brings a snapshot.
 */
import { batch, computed, effect, signal } from "@preact/signals";
import * as api from "../net/api";
import { Link, type Owner } from "../net/socket";
import type { Balance, Execution, Order, Page, Position, TradingState } from "../net/types";
import { instruments, symbol } from "./market";
import { session } from "./session";
import { refused, toast } from "./toasts";

const FILLS_MAX = 200;
const ENDED: ReadonlySet<string> = new Set(["filled", "cancelled", "expired"]);

export const orders = signal<Map<number, Order>>(new Map());
export const fills = signal<Execution[]>([]);
export const balances = signal<Map<string, Balance>>(new Map());
export const positions = signal<Map<string, Position>>(new Map());
export const accountKnown = signal(false);
export const accountFailed = signal<unknown>(null);
export const accountGaps = signal(0);
/** What the gateway last said of itself on the channel `status`. */
export const gatewayStatus = signal<Record<string, unknown> | null>(null);

export const openOrders = computed(() => [...orders.value.values()].sort((a, b) => b.order_id - a.order_id));
export const openHere = computed(() => {
  const here = instruments.value.find((one) => one.name === symbol.value)?.symbol;
  return openOrders.value.filter((order) => order.symbol === here);
});

type Place = [number, number];

interface Message {
  op?: string;
  channel?: string;
  type?: string;
  sequence?: Place | number;
  previous?: Place | number | null;
  [name: string]: unknown;
}

let last: string | null = null;
let generation = 0;

const placeOf = (place: Place | number | null | undefined): string | null =>
  place === null || place === undefined ? null : JSON.stringify(place);

function subscribe(): void {
  last = null;
  link.send({ op: "subscribe", channel: "account", id: "account" });
}

/** Everything as it stands, by plain calls: what the stream then brings is newer, and is applied on top. */
async function load(): Promise<void> {
  const mine = generation;
  try {
    const [open, executions, funds, held] = await Promise.all([
      api.get<Page<Order>>("/orders", { limit: 1000 }),
      api.get<Page<Execution>>("/executions", { limit: 100 }),
      api.get<Page<Balance>>("/balances"),
      api.get<Page<Position>>("/positions"),
    ]);
    if (mine !== generation) return;
    batch(() => {
      orders.value = new Map(open.items.map((order) => [order.order_id, order]));
      balances.value = new Map(funds.items.map((one) => [one.asset, one]));
      positions.value = new Map(held.items.map((one) => [one.symbol, one]));
      fills.value = executions.items;
      accountKnown.value = true;
      accountFailed.value = null;
    });
  } catch (error) {
    if (mine !== generation) return;
    accountFailed.value = error;
    if (session.value) setTimeout(() => mine === generation && void load(), 1_500);
  }
}

function putOrder(order: Order): void {
  const there = orders.value.get(order.order_id);
  if (there && there.updated_ns > order.updated_ns) return;
  const next = new Map(orders.value);
  if (ENDED.has(order.status)) next.delete(order.order_id);
  else next.set(order.order_id, order);
  orders.value = next;
}

const fillKey = (fill: Execution): string => `${fill.sequence}.${fill.n}`;

function putFill(fill: Execution): void {
  if (fills.value.some((one) => fillKey(one) === fillKey(fill))) return;
  fills.value = [fill, ...fills.value].slice(0, FILLS_MAX);
  toast(
    "done",
    `${fill.side === "buy" ? "Bought" : "Sold"} ${fill.quantity} ${fill.symbol}`,
    `at ${fill.price}, order ${fill.order_id}`,
  );
}

/** An order or a cancel that this page sent has been answered: show it without waiting for the stream. */
export function answered(order: Order): void {
  putOrder(order);
}

const owner: Owner = {
  opened() {
    generation += 1;
    subscribe();
    link.send({ op: "subscribe", channel: "status", id: "status" });
    void load();
  },
  received(raw) {
    const message = raw as Message;
    if (message.channel === "account" && message.type) onAccount(message);
    else if (message.channel === "status" && !message.op) onStatus(message);
  },
  lost() {
    generation += 1;
  },
};

function onAccount(message: Message): void {
  const [place, previous] = [placeOf(message.sequence), placeOf(message.previous)];
  if (message.type !== "snapshot" && last !== null && previous !== null && previous !== last) {
    accountGaps.value += 1;
    generation += 1;
    subscribe();
    void load();
    return;
  }
  if (place !== null) last = place;
  batch(() => {
    if (message.type === "order") putOrder(message as unknown as Order);
    else if (message.type === "fill") putFill(message as unknown as Execution);
    else if (message.type === "balance") {
      const one = message as unknown as Balance;
      balances.value = new Map(balances.value).set(one.asset, one);
    } else if (message.type === "position") {
      const one = message as unknown as Position;
      positions.value = new Map(positions.value).set(one.symbol, one);
    }
  });
}

function onStatus(message: Message): void {
  gatewayStatus.value = message;
  const state = message.state as TradingState | undefined;
  if (typeof message.symbol === "string" && state)
    instruments.value = instruments.value.map((one) => (one.symbol === message.symbol ? { ...one, state } : one));
}

export const link = new Link(
  owner,
  () => ({ op: "ping" }),
  (message) => (message as Message).op === "pong",
);

export function startAccount(): void {
  let who = "";
  effect(() => {
    const now = session.value ? `${session.value.key_id} ${session.value.account}` : "";
    if (now === who) return;
    who = now;
    generation += 1;
    batch(() => {
      orders.value = new Map();
      fills.value = [];
      balances.value = new Map();
      positions.value = new Map();
      accountKnown.value = false;
      accountFailed.value = null;
    });
    link.stop();
    if (now) link.start("/api/v1/stream");
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

export async function cancelAll(of: string | null): Promise<void> {
  try {
    const done = of
      ? await api.call<{ items: Order[] }>("DELETE", "/orders", { symbol: of })
      : await api.call<{ items?: Order[] }>("POST", "/controls/cancel-all", {}, {});
    for (const order of done.items ?? []) answered(order);
    toast("note", of ? `Open orders in ${of} cancelled` : "All open orders cancelled");
  } catch (error) {
    refused("The orders were not cancelled", error);
  }
}
