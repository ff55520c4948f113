import { describe, expect, it } from "vitest";
import { FIRST_MS, MOST_MS, waitMs } from "./backoff";
import { parseMetrics, sum, sumBy, value } from "./metrics";
import { span } from "./when";

describe("waiting before the next attempt", () => {
  it("doubles, is spread, and has a bound", () => {
    expect(waitMs(0, 0)).toBe(FIRST_MS / 2);
    expect(waitMs(0, 0.999)).toBeLessThanOrEqual(FIRST_MS);
    expect(waitMs(3, 0)).toBe(FIRST_MS * 4);
    for (const attempt of [10, 100, 1e9]) expect(waitMs(attempt, 0.999)).toBeLessThanOrEqual(MOST_MS);
  });
});

describe("metrics", () => {
  const metrics = parseMetrics(
    [
      "# TYPE x counter",
      "x 3",
      'y{group="orders",status="200"} 5',
      'y{group="orders",status="400"} 2',
      'y{group="a \\"b\\""} 1.5e0',
      "z +Inf",
      "no line",
      "",
    ].join("\n"),
  );
  it("are read with their labels", () => {
    expect(sum(metrics, "x")).toBe(3);
    expect(sum(metrics, "y")).toBe(8.5);
    expect(sumBy(metrics, "y", "group")).toEqual(
      new Map([
        ["orders", 7],
        ['a "b"', 1.5],
      ]),
    );
    expect(value(metrics, "y", { group: "orders", status: "400" })).toBe(2);
    expect(value(metrics, "y", { group: "none" })).toBeNull();
  });
});

describe("spans of time", () => {
  it("have a unit that fits", () => {
    expect([500, 950e3, 1.24e6, 45e6, 3.1e9, 600e9, 7200e9].map(span)).toEqual([
      "500 ns",
      "950 µs",
      "1.2 ms",
      "45 ms",
      "3.1 s",
      "10 min",
      "2 h",
    ]);
  });
});
