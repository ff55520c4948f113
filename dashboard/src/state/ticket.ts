/** The order that is being written, and the pure rules that turn it into what the gateway takes. */
import { batch, signal } from "@preact/signals";
import {
  compare,
  decimal,
  type Decimal,
  isMultiple,
  multiply,
  parse,
  rounded,
  shown,
  text,
  trimmed,
  ZERO,
} from "../lib/decimal";
import type { Instrument, NewOrder, SelfTrade, Side, TimeInForce } from "../net/types";

export type TicketKind = "limit" | "market" | "stop_limit" | "stop_market" | "take_limit" | "take_market" | "trailing";

export const KINDS: readonly (readonly [TicketKind, string])[] = [
  ["limit", "Limit"],
  ["market", "Market"],
  ["stop_limit", "Stop limit"],
  ["stop_market", "Stop market"],
  ["take_limit", "Take profit limit"],
  ["take_market", "Take profit market"],
  ["trailing", "Trailing stop"],
];

export interface Ticket {
  side: Side;
  kind: TicketKind;
  price: string;
  quantity: string;
  /** Of an order without a limit: the price that it must not go beyond. */
  worst: string;
  trigger: string;
  offset: string;
  display: string;
  timeInForce: TimeInForce;
  postOnly: boolean;
  hidden: boolean;
  day: boolean;
  selfTrade: SelfTrade;
}

export const fresh: Ticket = {
  side: "buy",
  kind: "limit",
  price: "",
  quantity: "",
  worst: "",
  trigger: "",
  offset: "",
  display: "",
  timeInForce: "good_till_cancelled",
  postOnly: false,
  hidden: false,
  day: false,
  selfTrade: "cancel_taker",
};

export const ticket = signal<Ticket>(fresh);

export function edit(change: Partial<Ticket>): void {
  batch(() => (ticket.value = { ...ticket.value, ...change }));
}

export const hasPrice = (kind: TicketKind): boolean =>
  kind === "limit" || kind === "stop_limit" || kind === "take_limit";
export const hasTrigger = (kind: TicketKind): boolean => kind.startsWith("stop") || kind.startsWith("take");
/** What rests in the book may be post-only, show a part of itself, hide, or end with the day. */
export const canRest = (one: Ticket): boolean => hasPrice(one.kind) && one.timeInForce === "good_till_cancelled";

export type Faults = Partial<Record<"price" | "quantity" | "worst" | "trigger" | "offset" | "display", string>>;

function onTick(name: string, value: string, step: string): string | null {
  const number = parse(value);
  if (!value.trim()) return `${name} must be given`;
  if (!number) return `${name} must be a number`;
  if (number.units <= 0n) return `${name} must be above zero`;
  if (!isMultiple(number, decimal(step))) return `${name} must be a multiple of ${step}`;
  return null;
}

/** What must be mended before the order is worth sending. The gateway has the last word all the same. */
export function faults(one: Ticket, instrument: Instrument): Faults {
  const out: Faults = {};
  const put = (field: keyof Faults, fault: string | null): void => {
    if (fault) out[field] = fault;
  };
  if (hasPrice(one.kind)) put("price", onTick("Price", one.price, instrument.tick_size));
  if (hasTrigger(one.kind)) put("trigger", onTick("Trigger", one.trigger, instrument.tick_size));
  if (one.kind === "trailing") put("offset", onTick("Offset", one.offset, instrument.tick_size));
  if (!hasPrice(one.kind)) {
    if (one.worst.trim()) put("worst", onTick("Worst price", one.worst, instrument.tick_size));
    else if (one.side === "buy" && (one.kind !== "market" || instrument.collar_ppm === 0))
      out.worst = "Worst price must be given: no collar bounds this order";
  }
  put("quantity", onTick("Quantity", one.quantity, instrument.lot_size));
  const quantity = parse(one.quantity);
  if (!out.quantity && quantity) {
    if (instrument.min_quantity && compare(quantity, decimal(instrument.min_quantity)) < 0)
      out.quantity = `Quantity must be at least ${instrument.min_quantity}`;
    else if (instrument.max_quantity && compare(quantity, decimal(instrument.max_quantity)) > 0)
      out.quantity = `Quantity must be at most ${instrument.max_quantity}`;
    else if (!out.price && hasPrice(one.kind) && instrument.min_notional) {
      const value = multiply(quantity, decimal(one.price));
      if (compare(value, decimal(instrument.min_notional)) < 0)
        out.quantity = `Price × quantity must be at least ${instrument.min_notional} ${instrument.quote}`;
    }
  }
  if (canRest(one) && one.display.trim()) {
    put("display", onTick("Shown quantity", one.display, instrument.lot_size));
    if (!out.display && quantity && compare(decimal(one.display), quantity) > 0)
      out.display = "Shown quantity must not exceed the quantity";
  }
  return out;
}

const plain = (value: string): string => text(trimmed(decimal(value)));

export function request(one: Ticket, instrument: Instrument, id: string): NewOrder {
  const priced = hasPrice(one.kind);
  const order: NewOrder = {
    symbol: instrument.symbol,
    side: one.side,
    type: priced ? "limit" : "market",
    quantity: plain(one.quantity),
    // What takes at once never rests: a market order is immediate unless it must fill whole.
    time_in_force: priced || one.timeInForce === "fill_or_kill" ? one.timeInForce : "immediate_or_cancel",
    self_trade_prevention: one.selfTrade,
    client_order_id: id,
  };
  if (!priced && one.kind !== "market") order.time_in_force = "immediate_or_cancel";
  if (priced) order.price = plain(one.price);
  else if (one.worst.trim()) order.price = plain(one.worst);
  if (hasTrigger(one.kind)) {
    order.trigger = one.kind.startsWith("stop") ? "stop" : "take_profit";
    order.trigger_price = plain(one.trigger);
  }
  if (one.kind === "trailing") {
    order.trigger = "trailing";
    order.offset = plain(one.offset);
  }
  if (canRest(one)) {
    if (one.postOnly) order.post_only = true;
    if (one.display.trim()) order.display_quantity = plain(one.display);
    if (one.hidden) order.hidden = true;
  }
  if (one.day && (canRest(one) || order.trigger)) order.day = true;
  return order;
}

/** Price × quantity, and the most that the taker's fee can add; null while either is missing. */
export function cost(
  one: Ticket,
  instrument: Instrument,
  lastPrice: Decimal | null,
): { value: Decimal; fee: Decimal } | null {
  const quantity = parse(one.quantity);
  const price = hasPrice(one.kind) ? parse(one.price) : hasTrigger(one.kind) ? parse(one.trigger) : lastPrice;
  if (!quantity || !price) return null;
  const value = multiply(quantity, price);
  const rate: Decimal = { units: BigInt(Math.max(0, instrument.maker_fee_ppm, instrument.taker_fee_ppm)), scale: 6 };
  return {
    value: rounded(value, instrument.quote_decimals, "up"),
    fee: rounded(multiply(value, rate), instrument.quote_decimals, "up"),
  };
}

export function sentence(one: Ticket, instrument: Instrument): string {
  const what = `${one.side === "buy" ? "Buy" : "Sell"} ${shown(trimmed(parse(one.quantity) ?? ZERO))} ${instrument.base}`;
  if (hasPrice(one.kind)) return `${what} at ${shown(parse(one.price) ?? ZERO, instrument.price_decimals)}`;
  return one.kind === "market"
    ? `${what} at market`
    : `${what} by ${KINDS.find(([kind]) => kind === one.kind)?.[1].toLowerCase()}`;
}
