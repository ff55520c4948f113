/** The market of the chosen instrument, live: book, trades, candles, tickers. */
import { batch, computed, effect, signal } from "@preact/signals";
import * as api from "../net/api";
import { Link, type Owner } from "../net/socket";
import type { Instrument, KlineRow, MarketTrade, Ticker } from "../net/types";
import { decimal } from "../lib/decimal";
import { Book, type Change } from "../lib/book";

export const INTERVALS = ["1s", "1m", "5m", "15m", "1h", "4h", "1d"] as const;
export type Interval = (typeof INTERVALS)[number];

export interface Candle {
  time: number;
  open: string;
  high: string;
  low: string;
  close: string;
  volume: string;
}

const SYMBOL_KEY = "ironbook.symbol";
const TRADES_MAX = 200;
const TICKERS_MAX = 40;
const RETRY_MS = 1_500;

export const instruments = signal<Instrument[]>([]);
export const instrumentsFailed = signal<unknown>(null);
export const symbol = signal(localStorage.getItem(SYMBOL_KEY) ?? "");
export const interval = signal<Interval>("1m");
export const tickers = signal<Record<string, Ticker>>({});
export const trades = signal<MarketTrade[]>([]);
/** All candles anew, or the newest one alone: a chart need not be drawn again for each trade. */
export const candles = signal<Candle[] | null>(null);
export const lastCandle = signal<Candle | null>(null);
/** Rises when the book has changed, at most once a frame. */
export const bookTurn = signal(0);
export const bookLive = signal(false);
export const gaps = signal(0);

export const instrument = computed(() => instruments.value.find((one) => one.name === symbol.value) ?? null);
export const bySymbol = computed(() => new Map(instruments.value.map((one) => [one.symbol, one])));
export const ticker = computed(() => tickers.value[symbol.value] ?? null);
/** Of the newest trade: tickers come once a second, trades at once. Null: never traded. */
export const lastPrice = computed(() => {
  const last = decimal(trades.value[0]?.price ?? ticker.value?.lastPrice);
  return last.units > 0n ? last : null;
});

let book = new Book(2, 8);
export const currentBook = (): Book => book;

let turning = false;
function turned(): void {
  if (turning) return;
  turning = true;
  requestAnimationFrame(() => {
    turning = false;
    bookTurn.value += 1;
  });
}

/** Which connection a late answer belongs to: one of an earlier connection or instrument is thrown away. */
let generation = 0;
const later = (act: () => void): number => window.setTimeout(act, RETRY_MS);

async function loadBook(mine: number): Promise<void> {
  const name = symbol.value;
  try {
    const snapshot = await api.depth(name);
    if (mine !== generation) return;
    if (book.snapshot(snapshot)) {
      bookLive.value = true;
      turned();
      return;
    }
    if (book.state === "broken") book.reset();
    setTimeout(() => mine === generation && void loadBook(mine), 150);
  } catch {
    later(() => mine === generation && void loadBook(mine));
  }
}

async function loadTrades(mine: number): Promise<void> {
  try {
    const newest = await api.trades(symbol.value);
    if (mine !== generation) return;
    const known = new Set(newest.map((trade) => trade.id));
    const first = newest.at(-1)?.id ?? 0;
    const later = trades.value.filter((trade) => trade.id > first && !known.has(trade.id));
    trades.value = [...later, ...newest.reverse()].slice(0, TRADES_MAX);
  } catch {
    later(() => mine === generation && void loadTrades(mine));
  }
}

async function loadCandles(mine: number): Promise<void> {
  const [name, of] = [symbol.value, interval.value];
  try {
    const rows = await api.klines(name, of);
    if (mine !== generation || of !== interval.value) return;
    candles.value = rows.map(candleOf);
  } catch {
    later(() => mine === generation && of === interval.value && void loadCandles(mine));
  }
}

function candleOf(row: KlineRow): Candle {
  return { time: row[0] / 1000, open: row[1], high: row[2], low: row[3], close: row[4], volume: row[5] };
}

async function loadTickers(): Promise<void> {
  try {
    const all = await api.tickers();
    tickers.value = { ...Object.fromEntries(all.map((one) => [one.symbol, one])), ...tickers.value };
  } catch {
    later(() => void loadTickers());
  }
}

interface Envelope {
  stream?: string;
  data?: Record<string, unknown>;
}

const owner: Owner = {
  opened() {
    generation += 1;
    book.reset();
    const mine = generation;
    void loadBook(mine);
    void loadTrades(mine);
    void loadCandles(mine);
    void loadTickers();
    void loadInstruments();
  },
  received(message) {
    const { stream, data } = message as Envelope;
    if (!stream || !data) return;
    if (stream.includes("@depth")) onDepth(data as unknown as Change);
    else if (stream.endsWith("@trade")) onTrade(data as unknown as TradeEvent);
    else if (stream.includes("@kline")) onKline(data as unknown as KlineEvent);
    else if (stream.endsWith("@ticker")) onTicker(data as unknown as TickerEvent);
  },
  lost() {
    generation += 1;
    bookLive.value = false;
    turned();
  },
};

function onDepth(change: Change): void {
  if (!book.change(change)) {
    gaps.value += 1;
    bookLive.value = false;
    book.reset();
    void loadBook(generation);
  }
  turned();
}

interface TradeEvent {
  t: number;
  p: string;
  q: string;
  T: number;
  m: boolean;
}

function onTrade(event: TradeEvent): void {
  const newest = trades.value[0];
  if (newest && event.t <= newest.id) return;
  // Trades of an instrument are numbered one by one: a number left out is a trade that was missed.
  if (newest && event.t > newest.id + 1) {
    gaps.value += 1;
    void loadTrades(generation);
  }
  const trade = { id: event.t, price: event.p, qty: event.q, time: event.T, isBuyerMaker: event.m };
  trades.value = [trade, ...trades.value].slice(0, TRADES_MAX);
}

interface KlineEvent {
  k: { t: number; i: string; o: string; h: string; l: string; c: string; v: string };
}

function onKline({ k }: KlineEvent): void {
  if (k.i !== interval.value) return;
  const candle = { time: k.t / 1000, open: k.o, high: k.h, low: k.l, close: k.c, volume: k.v };
  // Kept in place, without telling anybody: a chart that is made anew finds them all, the one that stands need not be.
  const kept = candles.value;
  const newest = kept?.at(-1);
  if (kept && newest?.time === candle.time) kept[kept.length - 1] = candle;
  else if (kept && newest && newest.time < candle.time) kept.push(candle);
  else if (kept && !newest) candles.value = [candle];
  lastCandle.value = candle;
}

interface TickerEvent {
  s: string;
  p: string;
  P: string;
  c: string;
  o: string;
  h: string;
  l: string;
  v: string;
  q: string;
}

function onTicker(event: TickerEvent): void {
  const next: Ticker = {
    symbol: event.s,
    lastPrice: event.c,
    priceChange: event.p,
    priceChangePercent: event.P,
    openPrice: event.o,
    highPrice: event.h,
    lowPrice: event.l,
    volume: event.v,
    quoteVolume: event.q,
  };
  tickers.value = { ...tickers.value, [event.s]: next };
}

export const marketLink = new Link(
  owner,
  (id) => ({ method: "LIST_SUBSCRIPTIONS", id }),
  (message) => typeof message === "object" && message !== null && "result" in message,
);

function streams(name: string, of: Interval): string {
  const low = name.toLowerCase();
  const others = instruments.value.slice(0, TICKERS_MAX).map((one) => `${one.name.toLowerCase()}@ticker`);
  const mine = [`${low}@depth@100ms`, `${low}@trade`, `${low}@kline_${of}`, `${low}@ticker`];
  return `/stream?streams=${[...new Set([...mine, ...others])].join("/")}`;
}

async function loadInstruments(): Promise<void> {
  try {
    const { items } = await api.get<{ items: Instrument[] }>("/instruments", {});
    batch(() => {
      instrumentsFailed.value = null;
      instruments.value = items;
      if (!items.some((one) => one.name === symbol.value)) symbol.value = items[0]?.name ?? "";
    });
  } catch (error) {
    instrumentsFailed.value = error;
    if (instruments.value.length === 0) later(() => void loadInstruments());
  }
}

export { loadInstruments as reloadInstruments };

/** Learns the instruments, then follows whichever is chosen. */
export function startMarket(): void {
  void loadInstruments();
  let followed = "";
  effect(() => {
    const [now, of] = [instrument.value, interval.value];
    if (!now) return;
    const key = `${now.name} ${of}`;
    if (key === followed) return;
    const another = !followed.startsWith(`${now.name} `);
    followed = key;
    localStorage.setItem(SYMBOL_KEY, now.name);
    batch(() => {
      candles.value = null;
      lastCandle.value = null;
      if (another) {
        generation += 1;
        book = new Book(now.price_decimals, now.quantity_decimals);
        bookLive.value = false;
        trades.value = [];
        bookTurn.value = bookTurn.peek() + 1;
      }
    });
    marketLink.start(streams(now.name, of));
  });
}

export function choose(name: string): void {
  symbol.value = name;
}
