/** Times as people read them. Times on the wire are nanoseconds since the epoch; the page needs milliseconds at most. */
const two = (n: number): string => String(n).padStart(2, "0");

export function fromNs(ns: number): Date {
  return new Date(ns / 1e6);
}

export function clock(date: Date, milliseconds = false): string {
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return milliseconds ? `${time}.${String(date.getMilliseconds()).padStart(3, "0")}` : time;
}

export function day(date: Date): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The time alone for today, else with its day. */
export function moment(ns: number, now: Date = new Date()): string {
  if (!ns) return "–";
  const date = fromNs(ns);
  return day(date) === day(now) ? clock(date) : `${day(date)} ${clock(date)}`;
}

const tenths = (n: number): string => (n < 10 ? n.toFixed(1).replace(/\.0$/, "") : n.toFixed(0));

/** 950 µs, 12.4 ms, 3.1 s, 4 min, 2 h, 3 d. */
export function span(ns: number): string {
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`;
  if (ns < 1e9) return `${tenths(ns / 1e6)} ms`;
  if (ns < 120e9) return `${tenths(ns / 1e9)} s`;
  if (ns < 7200e9) return `${Math.round(ns / 60e9)} min`;
  if (ns < 172800e9) return `${Math.round(ns / 3600e9)} h`;
  return `${Math.round(ns / 86400e9)} d`;
}

export function count(n: number): string {
  return Math.round(n).toLocaleString("en-US");
}
