/** The book as two hills: how much can be bought or sold before the price is moved so far. */
import type { JSX } from "preact";
import { toNumber, shown } from "../lib/decimal";
import type { Level } from "../lib/book";
import { bookTurn, currentBook, instrument } from "../state/market";
import { Empty } from "./parts";

const WIDTH = 1000;
const HEIGHT = 300;
const LEVELS = 200;

export function DepthChart(): JSX.Element {
  void bookTurn.value;
  const book = currentBook();
  const bids = book.bids.slice(0, LEVELS);
  const asks = book.asks.slice(0, LEVELS);
  const [bid, ask] = [bids[0], asks[0]];
  if (!bid || !ask) return <Empty title="No depth to draw">Both sides of the book must have orders.</Empty>;
  const price = (level: Level): number => toNumber(book.price(level.price));
  const middle = (price(bid) + price(ask)) / 2;
  const reach = Math.max(middle - price(bids.at(-1)!), price(asks.at(-1)!) - middle, 1e-9);
  const sum = (levels: readonly Level[]): number =>
    levels.reduce((all, level) => all + toNumber(book.quantity(level.quantity)), 0);
  const most = Math.max(sum(bids), sum(asks), 1e-9);
  const x = (at: number): string => (WIDTH / 2 + ((at - middle) / reach) * (WIDTH / 2)).toFixed(1);
  const y = (total: number): string => (HEIGHT - (total / most) * (HEIGHT - 16)).toFixed(1);
  const hill = (levels: readonly Level[], edge: number): string => {
    let total = 0;
    let path = `M${x(price(levels[0]!))},${HEIGHT}`;
    for (const level of levels) {
      path += `H${x(price(level))}`;
      total += toNumber(book.quantity(level.quantity));
      path += `V${y(total)}`;
    }
    return `${path}H${edge}V${HEIGHT}Z`;
  };
  const digits = instrument.value?.price_decimals ?? 2;
  const scale = 10 ** digits;
  const label = (at: number): string => shown({ units: BigInt(Math.round(at * scale)), scale: digits });
  return (
    <div class="depth-chart">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label="Depth of both sides of the book"
      >
        <path class="buy" d={hill(bids, 0)} />
        <path class="sell" d={hill(asks, WIDTH)} />
      </svg>
      <div class="depth-axis num" aria-hidden="true">
        <span>{label(middle - reach)}</span>
        <span>{label(middle)}</span>
        <span>{label(middle + reach)}</span>
      </div>
    </div>
  );
}
