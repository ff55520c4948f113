/**
 * Exact decimal arithmetic on BigInt: prices, quantities and amounts never pass through a binary fraction.
 *
 * A decimal is a whole number of units and how many of its digits stand behind the point: 1.50 is {units: 150n, scale: 2}.
 */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

export type Rounding = "down" | "up" | "half";

export const ZERO: Decimal = { units: 0n, scale: 0 };

const FORM = /^([+-]?)(\d*)(?:\.(\d*))?$/;
const DIGITS_MAX = 60;

/** What the text says, or null where it is no decimal. An exponent is none: nobody types one by intent. */
export function parse(text: string): Decimal | null {
  const match = FORM.exec(text.trim().replaceAll(",", ""));
  if (!match) return null;
  const whole = match[2] ?? "";
  const fraction = match[3] ?? "";
  const digits = whole + fraction;
  if (digits.length === 0 || digits.length > DIGITS_MAX) return null;
  const units = BigInt(digits);
  return { units: match[1] === "-" ? -units : units, scale: fraction.length };
}

/** As parse, for texts that a server made: what is missing or damaged counts as nought. */
export function decimal(text: string | number | null | undefined): Decimal {
  if (text === null || text === undefined) return ZERO;
  return parse(String(text)) ?? ZERO;
}

function power(digits: number): bigint {
  return 10n ** BigInt(digits);
}

/** Units of a at a scale that is not smaller than its own. */
export function unitsAt(a: Decimal, scale: number): bigint {
  return scale >= a.scale ? a.units * power(scale - a.scale) : rounded(a, scale, "down").units;
}

export function add(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { units: unitsAt(a, scale) + unitsAt(b, scale), scale };
}

export function subtract(a: Decimal, b: Decimal): Decimal {
  return add(a, negated(b));
}

export function multiply(a: Decimal, b: Decimal): Decimal {
  return { units: a.units * b.units, scale: a.scale + b.scale };
}

export function negated(a: Decimal): Decimal {
  return { units: -a.units, scale: a.scale };
}

/** a / b with so many digits behind the point; null where b is nought. */
export function divide(a: Decimal, b: Decimal, scale: number, rounding: Rounding = "half"): Decimal | null {
  if (b.units === 0n) return null;
  // One guard digit more than is asked for, and a sticky one for what lies behind it, so that halves are told apart.
  const numerator = a.units * power(scale + 1 + b.scale);
  const denominator = b.units * power(a.scale);
  const sticky = numerator % denominator === 0n ? 0n : numerator < 0n === denominator < 0n ? 1n : -1n;
  return rounded({ units: (numerator / denominator) * 10n + sticky, scale: scale + 2 }, scale, rounding);
}

export function compare(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const difference = unitsAt(a, scale) - unitsAt(b, scale);
  return difference > 0n ? 1 : difference < 0n ? -1 : 0;
}

export function sign(a: Decimal): number {
  return a.units > 0n ? 1 : a.units < 0n ? -1 : 0;
}

/** With so many digits behind the point. "down" is toward nought, "up" away from it, "half" to the nearest. */
export function rounded(a: Decimal, scale: number, rounding: Rounding = "half"): Decimal {
  if (scale >= a.scale) return { units: unitsAt(a, scale), scale };
  const by = power(a.scale - scale);
  const negative = a.units < 0n;
  const size = negative ? -a.units : a.units;
  const rest = size % by;
  let units = size / by;
  if ((rounding === "up" && rest > 0n) || (rounding === "half" && rest * 2n >= by)) units += 1n;
  return { units: negative ? -units : units, scale };
}

/** The greatest multiple of step at or below a, for numbers not below nought. */
export function floorTo(a: Decimal, step: Decimal): Decimal {
  if (step.units <= 0n) return a;
  const scale = Math.max(a.scale, step.scale);
  const by = unitsAt(step, scale);
  const units = unitsAt(a, scale);
  return rounded({ units: units - (units % by), scale }, step.scale, "down");
}

export function isMultiple(a: Decimal, step: Decimal): boolean {
  if (step.units <= 0n) return true;
  const scale = Math.max(a.scale, step.scale);
  return unitsAt(a, scale) % unitsAt(step, scale) === 0n;
}

/** Plain digits, as servers read them: "-1234.50". */
export function text(a: Decimal): string {
  const digits = (a.units < 0n ? -a.units : a.units).toString().padStart(a.scale + 1, "0");
  const whole = digits.slice(0, digits.length - a.scale);
  const fraction = a.scale > 0 ? "." + digits.slice(digits.length - a.scale) : "";
  return (a.units < 0n ? "-" : "") + whole + fraction;
}

/** For people: thousands apart, a true minus sign, and so many digits behind the point if that is said. */
export function shown(a: Decimal, digits: number = a.scale): string {
  const [whole = "0", fraction] = text(
    rounded({ units: a.units < 0n ? -a.units : a.units, scale: a.scale }, digits),
  ).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  const size = fraction ? `${grouped}.${fraction}` : grouped;
  return a.units < 0n && /[1-9]/.test(size) ? `−${size}` : size;
}

/** As shown, with a plus sign for what is above nought: gains and losses must not differ by colour alone. */
export function signed(a: Decimal, digits: number = a.scale): string {
  const out = shown(a, digits);
  return a.units > 0n && /[1-9]/.test(out) ? `+${out}` : out;
}

/** Without the noughts at the end that say nothing. */
export function trimmed(a: Decimal): Decimal {
  let { units, scale } = a;
  while (scale > 0 && units % 10n === 0n) {
    units /= 10n;
    scale -= 1;
  }
  return { units, scale };
}

/** For drawing alone: a length on the screen or a point of a chart, never an amount. */
export function toNumber(a: Decimal): number {
  return Number(text(a));
}

/** part / whole between 0 and 1, for the length of a bar. */
export function share(part: Decimal, whole: Decimal): number {
  const quotient = divide(part, whole, 6);
  return quotient === null ? 0 : Math.min(1, Math.max(0, toNumber(quotient)));
}
