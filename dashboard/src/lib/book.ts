/**
 * A book kept from a snapshot and the changes behind it.
 *
 *     change  U..u ──▶ waiting ──snapshot L──▶ those beyond L, in order ──▶ live ──gap──▶ broken: take a new snapshot
 *
 * Each change says which updates it holds (first U to last u); the next one begins at u + 1. Anything else is a gap, and
 * a book with a gap is wrong from then on: it is never shown as if it were right.
 */
import { type Decimal, decimal, unitsAt } from "./decimal";

export interface Level {
  price: bigint;
  quantity: bigint;
}

/** A change as `@depth` brings it. */
export interface Change {
  U: number;
  u: number;
  b: [string, string][];
  a: [string, string][];
}

export interface Snapshot {
  lastUpdateId: number;
  bids: [string, string][];
  asks: [string, string][];
}

export type BookState = "waiting" | "live" | "broken";

const WAITING_MAX = 2_000;

/** Levels of one side, best first. */
class Side {
  readonly levels: Level[] = [];

  constructor(private readonly rising: boolean) {}

  private place(price: bigint): number {
    let low = 0;
    let high = this.levels.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const at = this.levels[middle]!.price;
      if (this.rising ? at < price : at > price) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  set(price: bigint, quantity: bigint): void {
    const index = this.place(price);
    const there = this.levels[index];
    if (there && there.price === price) {
      if (quantity === 0n) this.levels.splice(index, 1);
      else there.quantity = quantity;
    } else if (quantity !== 0n) {
      this.levels.splice(index, 0, { price, quantity });
    }
  }

  clear(): void {
    this.levels.length = 0;
  }
}

export class Book {
  state: BookState = "waiting";
  lastUpdate = 0;
  gaps = 0;
  private readonly bidSide = new Side(false);
  private readonly askSide = new Side(true);
  private waiting: Change[] = [];

  constructor(
    readonly priceScale: number,
    readonly quantityScale: number,
  ) {}

  get bids(): readonly Level[] {
    return this.bidSide.levels;
  }

  get asks(): readonly Level[] {
    return this.askSide.levels;
  }

  price(units: bigint): Decimal {
    return { units, scale: this.priceScale };
  }

  quantity(units: bigint): Decimal {
    return { units, scale: this.quantityScale };
  }

  /** Nothing is known any more: after a reconnect, or where a snapshot is asked for anew. */
  reset(): void {
    this.state = "waiting";
    this.waiting = [];
  }

  /** Returns false where the book needs a snapshot now. */
  change(change: Change): boolean {
    if (this.state === "live") return this.apply(change);
    if (this.state === "waiting") {
      if (this.waiting.length === WAITING_MAX) this.waiting.shift();
      this.waiting.push(change);
      return true;
    }
    return false;
  }

  /** Returns false where the snapshot is older than the changes that wait: take another. */
  snapshot(snapshot: Snapshot): boolean {
    const behind = this.waiting.filter((change) => change.u > snapshot.lastUpdateId);
    if (behind.length > 0 && behind[0]!.U > snapshot.lastUpdateId + 1) return false;
    this.bidSide.clear();
    this.askSide.clear();
    for (const [price, quantity] of snapshot.bids) this.put(this.bidSide, price, quantity);
    for (const [price, quantity] of snapshot.asks) this.put(this.askSide, price, quantity);
    this.lastUpdate = snapshot.lastUpdateId;
    this.state = "live";
    this.waiting = [];
    return behind.every((change) => this.apply(change));
  }

  private apply(change: Change): boolean {
    if (change.u <= this.lastUpdate) return true;
    if (change.U > this.lastUpdate + 1) {
      this.state = "broken";
      this.gaps += 1;
      return false;
    }
    for (const [price, quantity] of change.b) this.put(this.bidSide, price, quantity);
    for (const [price, quantity] of change.a) this.put(this.askSide, price, quantity);
    this.lastUpdate = change.u;
    return true;
  }

  private put(side: Side, price: string, quantity: string): void {
    side.set(unitsAt(decimal(price), this.priceScale), unitsAt(decimal(quantity), this.quantityScale));
  }
}

/** Levels in steps of so many price units: bids fall to the step below them, asks rise to the one above. Best first. */
export function grouped(levels: readonly Level[], step: bigint, rising: boolean, count: number): Level[] {
  const out: Level[] = [];
  for (const level of levels) {
    const below = level.price - (level.price % step);
    const price = rising && below !== level.price ? below + step : below;
    const last = out[out.length - 1];
    if (last && last.price === price) last.quantity += level.quantity;
    else if (out.length === count) break;
    else out.push({ price, quantity: level.quantity });
  }
  return out;
}
