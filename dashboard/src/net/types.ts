/** What /api/v1 answers, as far as the page reads it. Decimals are texts, times nanoseconds since the epoch. */
export type Side = "buy" | "sell";
export type OrderKind = "limit" | "market" | "market_by_quote";
export type TimeInForce = "good_till_cancelled" | "immediate_or_cancel" | "fill_or_kill";
export type SelfTrade = "none" | "cancel_taker" | "cancel_maker" | "cancel_both" | "decrement";
export type Trigger = "stop" | "take_profit" | "trailing";
export type OrderState = "waiting" | "open" | "partly_filled" | "filled" | "cancelled" | "expired";
export type TradingState = "open" | "halted" | "pre_open" | "auction" | "closed";

export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface SessionInfo {
  key_id: string;
  account: number;
  permissions: string[];
  expires_ns: number | null;
}

export interface Breaker {
  band_ppm: number;
  band_ms: number;
  level1_ppm: number;
  level1_ms: number;
  level2_ppm: number;
  level2_ms: number;
  level3_ppm: number;
  level3_ms: number;
  static_price: string | null;
}

export interface Instrument {
  symbol: string;
  name: string;
  number: number;
  base: string;
  quote: string;
  tick_size: string;
  lot_size: string;
  price_decimals: number;
  quantity_decimals: number;
  base_decimals: number;
  quote_decimals: number;
  maker_fee_ppm: number;
  taker_fee_ppm: number;
  state: TradingState;
  auction_ends_ns: number | null;
  reference_price: string | null;
  min_quantity: string | null;
  max_quantity: string | null;
  min_notional: string | null;
  collar_ppm: number;
  breaker: Breaker;
}

export interface Balance {
  asset: string;
  free: string;
  locked: string;
  total: string;
}

export interface Position {
  symbol: string;
  quote: string;
  position: string;
  cost: string;
  average_price: string | null;
  last_price: string | null;
  realised: string;
  unrealised: string | null;
  fees: string;
  fill_count: number;
}

export interface Execution {
  trade_id: number;
  order_id: number;
  client_order_id: string;
  symbol: string;
  side: Side;
  maker: boolean;
  price: string;
  quantity: string;
  notional: string;
  fee: string;
  fee_asset: string;
  received_ns: number;
  sequence: number;
  n: number;
}

export interface Order {
  order_id: number;
  client_order_id: string;
  symbol: string;
  side: Side;
  type: OrderKind;
  time_in_force: TimeInForce;
  post_only: boolean;
  price: string | null;
  quantity: string;
  filled: string;
  remaining: string;
  average_price: string | null;
  notional: string;
  fees: string;
  status: OrderState;
  code: string;
  trigger: Trigger | null;
  trigger_price: string | null;
  display_quantity: string | null;
  expire_ns: number | null;
  entered_ns: number;
  updated_ns: number;
}

export interface NewOrder {
  symbol: string;
  side: Side;
  type: OrderKind;
  price?: string;
  quantity?: string;
  amount?: string;
  time_in_force?: TimeInForce;
  self_trade_prevention?: SelfTrade;
  post_only?: boolean;
  client_order_id?: string;
  display_quantity?: string;
  hidden?: boolean;
  day?: boolean;
  trigger?: Trigger;
  trigger_price?: string;
  offset?: string;
}

export interface OrderResult {
  order: Order;
  fills: Execution[];
  sequence: number;
}

export interface CancelledOrders {
  items: Order[];
  sequence: number;
}

export interface Pnl {
  items: { symbol: string; quote: string; realised: string; unrealised: string; fees: string; net: string }[];
  totals: { asset: string; realised: string; unrealised: string; fees: string; net: string }[];
}

export interface Portfolio {
  asset: string;
  total: string;
  items: { asset: string; free: string; locked: string; total: string; price: string | null; value: string | null }[];
}

export interface Performance {
  trades: number;
  winners: number;
  losers: number;
  win_rate: string | null;
  profit_factor: string | null;
  gross_profit: string;
  gross_loss: string;
  average_win: string | null;
  average_loss: string | null;
  realised: string;
  fees: string;
  net: string;
  volume: string;
}

export interface Analytics extends Performance {
  asset: string;
  max_drawdown: string;
  orders: number;
  rejected: number;
  cancelled: number;
  filled_orders: number;
  fill_ratio: string | null;
  by_symbol: (Performance & { symbol: string })[];
}

export interface DailyResults {
  asset: string;
  items: { day: string; realised: string; fees: string; net: string; cumulative: string; drawdown: string }[];
}

export interface Used {
  used: number;
  max: number | null;
}

export interface RiskState {
  account: number;
  firm: number;
  halted: boolean;
  everything_halted: boolean;
  fee_tier: number;
  open_orders: Used;
  order_rate: Used & { window_ms: number };
  notional_units_max: number | null;
  quantity_lots_max: number | null;
  position_lots_max: number | null;
  orders_10s: Used;
  orders_day: Used;
  countdown_ns: number | null;
  positions: {
    symbol: string;
    position: string;
    open_buy: string;
    open_sell: string;
    max: string | null;
    share: string | null;
  }[];
  breakers: {
    symbol: string;
    state: TradingState;
    auction_ends_ns: number | null;
    reference_price: string | null;
    collar_ppm: number;
    breaker: Breaker;
  }[];
}

export interface Alert {
  alert_id: string;
  code: string;
  action: string;
  scope: string;
  symbol: string | null;
  text: string;
  time_ns: number;
}

export type HaltScope = "everything" | "firm" | "account" | "instrument";
export type HaltAction = "halt" | "resume" | "halt_and_cancel";

export type PartStatus = "up" | "degraded" | "down" | "off";

export interface Health {
  status: PartStatus;
  time_ns: number;
  version: string;
  parts: { name: string; status: PartStatus; detail: string; figures: Record<string, number> }[];
}

/** Market data in the Binance dialect. */
export interface Ticker {
  symbol: string;
  lastPrice: string;
  priceChange: string;
  priceChangePercent: string;
  openPrice: string;
  highPrice: string;
  lowPrice: string;
  volume: string;
  quoteVolume: string;
}

export interface MarketTrade {
  id: number;
  price: string;
  qty: string;
  time: number;
  isBuyerMaker: boolean;
}

export type KlineRow = [number, string, string, string, string, string, number, ...unknown[]];
