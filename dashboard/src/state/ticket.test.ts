import { describe, expect, it } from "vitest";
import { shown } from "../lib/decimal";
import type { Instrument } from "../net/types";
import { cost, faults, fresh, request, type Ticket } from "./ticket";

const instrument = {
  symbol: "BTC/USD",
  base: "BTC",
  quote: "USD",
  tick_size: "0.01",
  lot_size: "0.0001",
  price_decimals: 2,
  quantity_decimals: 4,
  quote_decimals: 6,
  maker_fee_ppm: -50,
  taker_fee_ppm: 250,
  min_quantity: "0.0001",
  max_quantity: "100",
  min_notional: "10",
  collar_ppm: 100_000,
} as Instrument;
const ticket = (change: Partial<Ticket>): Ticket => ({ ...fresh, price: "60000", quantity: "0.5", ...change });

describe("the ticket", () => {
  it("says what must be mended, field by field", () => {
    expect(faults(ticket({}), instrument)).toEqual({});
    expect(faults(ticket({ price: "" }), instrument).price).toBe("Price must be given");
    expect(faults(ticket({ price: "60000.005" }), instrument).price).toBe("Price must be a multiple of 0.01");
    expect(faults(ticket({ quantity: "-1" }), instrument).quantity).toBe("Quantity must be above zero");
    expect(faults(ticket({ quantity: "abc" }), instrument).quantity).toBe("Quantity must be a number");
    expect(faults(ticket({ quantity: "101" }), instrument).quantity).toBe("Quantity must be at most 100");
    expect(faults(ticket({ quantity: "0.0001", price: "5" }), instrument).quantity).toBe(
      "Price × quantity must be at least 10 USD",
    );
    expect(faults(ticket({ display: "0.6" }), instrument).display).toBe("Shown quantity must not exceed the quantity");
    expect(faults(ticket({ kind: "stop_market", price: "", worst: "9" }), instrument)).toEqual({
      trigger: "Trigger must be given",
    });
  });

  it("asks for a bound where nothing else bounds a market order", () => {
    const free = { ...instrument, collar_ppm: 0 };
    expect(faults(ticket({ kind: "market" }), instrument)).toEqual({});
    expect(faults(ticket({ kind: "market" }), free).worst).toContain("Worst price must be given");
    expect(faults(ticket({ kind: "trailing", offset: "5" }), instrument).worst).toContain("Worst price must be given");
    expect(faults(ticket({ kind: "market", side: "sell" }), free)).toEqual({});
    expect(faults(ticket({ kind: "market", worst: "63000" }), free)).toEqual({});
  });

  it("makes each type of order", () => {
    const made = (change: Partial<Ticket>) => request(ticket(change), instrument, "id");
    expect(made({ price: "60,000.50", postOnly: true })).toEqual({
      symbol: "BTC/USD",
      side: "buy",
      type: "limit",
      price: "60000.5",
      quantity: "0.5",
      time_in_force: "good_till_cancelled",
      self_trade_prevention: "cancel_taker",
      post_only: true,
      client_order_id: "id",
    });
    expect(made({ kind: "market" })).toMatchObject({ type: "market", time_in_force: "immediate_or_cancel" });
    expect(made({ kind: "market" })).not.toHaveProperty("price");
    expect(made({ kind: "market", worst: "63000" }).price).toBe("63000");
    expect(made({ kind: "stop_limit", trigger: "59000" })).toMatchObject({
      type: "limit",
      trigger: "stop",
      trigger_price: "59000",
    });
    expect(made({ kind: "take_market", trigger: "61000" })).toMatchObject({
      type: "market",
      trigger: "take_profit",
      time_in_force: "immediate_or_cancel",
    });
    expect(made({ kind: "trailing", offset: "100" })).toMatchObject({
      type: "market",
      trigger: "trailing",
      offset: "100",
    });
    expect(made({ timeInForce: "fill_or_kill", display: "0.1", hidden: true, postOnly: true })).not.toHaveProperty(
      "display_quantity",
    );
    expect(made({ display: "0.1" }).display_quantity).toBe("0.1");
  });

  it("tells the cost exactly, and the fee by the dearer role", () => {
    const told = cost(ticket({ price: "60000.01", quantity: "0.3" }), instrument, null)!;
    expect([shown(told.value), shown(told.fee)]).toEqual(["18,000.003000", "4.500001"]);
    expect(cost(ticket({ quantity: "" }), instrument, null)).toBeNull();
    expect(cost(ticket({ kind: "market" }), instrument, null)).toBeNull();
  });
});
