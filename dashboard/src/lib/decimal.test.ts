import { describe, expect, it } from "vitest";
import {
  add,
  compare,
  decimal,
  divide,
  floorTo,
  isMultiple,
  multiply,
  parse,
  rounded,
  share,
  shown,
  signed,
  subtract,
  text,
  trimmed,
} from "./decimal";

const d = decimal;

describe("decimals", () => {
  it("read what people and servers write, and nothing else", () => {
    expect(parse("1.50")).toEqual({ units: 150n, scale: 2 });
    expect(parse(" -0.1 ")).toEqual({ units: -1n, scale: 1 });
    expect(parse("60,000.5")).toEqual({ units: 600005n, scale: 1 });
    expect(parse(".5")).toEqual({ units: 5n, scale: 1 });
    for (const wrong of ["", ".", "-", "1e5", "1.2.3", "0x10", "NaN", "1 2", "9".repeat(70)])
      expect(parse(wrong)).toBeNull();
  });

  it("are exact where binary fractions are not", () => {
    expect(text(add(d("0.1"), d("0.2")))).toBe("0.3");
    expect(text(multiply(d("60000.01"), d("0.0003")))).toBe("18.000003");
    expect(text(subtract(d("9007199254740993.01"), d("0.01")))).toBe("9007199254740993.00");
  });

  it("come back as they were written", () => {
    for (const one of ["0", "0.00000001", "-12.30", "123456789012345678901234567890.5"]) expect(text(d(one))).toBe(one);
  });

  it("round down, up and to the nearest, alike on both sides of nought", () => {
    expect(text(rounded(d("1.005"), 2))).toBe("1.01");
    expect(text(rounded(d("-1.005"), 2))).toBe("-1.01");
    expect(text(rounded(d("1.009"), 2, "down"))).toBe("1.00");
    expect(text(rounded(d("-1.009"), 2, "down"))).toBe("-1.00");
    expect(text(rounded(d("1.001"), 2, "up"))).toBe("1.01");
    expect(text(rounded(d("1.5"), 4))).toBe("1.5000");
  });

  it("divide exactly to the digits asked for", () => {
    expect(text(divide(d("1"), d("3"), 4)!)).toBe("0.3333");
    expect(text(divide(d("2"), d("3"), 4)!)).toBe("0.6667");
    expect(text(divide(d("2"), d("3"), 4, "down")!)).toBe("0.6666");
    expect(text(divide(d("1"), d("3"), 2, "up")!)).toBe("0.34");
    expect(text(divide(d("-1"), d("8"), 2)!)).toBe("-0.13");
    expect(text(divide(d("1"), d("10"), 0, "up")!)).toBe("1");
    expect(divide(d("1"), d("0.00"), 2)).toBeNull();
  });

  it("compare across scales and know their steps", () => {
    expect(compare(d("1.0"), d("1"))).toBe(0);
    expect(compare(d("-2"), d("1.5"))).toBe(-1);
    expect(isMultiple(d("60000.01"), d("0.01"))).toBe(true);
    expect(isMultiple(d("60000.015"), d("0.01"))).toBe(false);
    expect(text(floorTo(d("1.23456"), d("0.0005")))).toBe("1.2345");
  });

  it("are shown with thousands apart and a sign that does not need colour", () => {
    expect(shown(d("-1234567.5"), 2)).toBe("−1,234,567.50");
    expect(signed(d("12"), 1)).toBe("+12.0");
    expect(shown(d("-0.001"), 2)).toBe("0.00");
    expect(signed(d("0.001"), 2)).toBe("0.00");
    expect(text(trimmed(d("1.500")))).toBe("1.5");
  });

  it("give shares between nought and one", () => {
    expect(share(d("1"), d("4"))).toBe(0.25);
    expect(share(d("5"), d("4"))).toBe(1);
    expect(share(d("5"), d("0"))).toBe(0);
  });
});
