import { beforeEach, describe, expect, it } from "vitest";
import { Book, type Change, grouped } from "./book";

const change = (U: number, u: number, b: [string, string][] = [], a: [string, string][] = []): Change => ({
  U,
  u,
  b,
  a,
});
const snapshot = {
  lastUpdateId: 10,
  bids: [
    ["99.00", "1.5"],
    ["98.50", "2"],
  ] as [string, string][],
  asks: [["101.00", "3"]] as [string, string][],
};

describe("a book", () => {
  let book: Book;
  beforeEach(() => (book = new Book(2, 4)));

  const levels = (): string =>
    `${book.bids.map((l) => `${l.price}:${l.quantity}`).join(" ")} | ${book.asks.map((l) => `${l.price}:${l.quantity}`).join(" ")}`;

  it("is what the snapshot says, best prices first", () => {
    expect(book.snapshot({ ...snapshot, bids: [...snapshot.bids].reverse() })).toBe(true);
    expect(levels()).toBe("9900:15000 9850:20000 | 10100:30000");
    expect(book.state).toBe("live");
  });

  it("takes changes that came before the snapshot, leaving out those it holds", () => {
    book.change(change(9, 10, [["99.00", "7"]]));
    book.change(change(11, 12, [["99.00", "4"]], [["100.50", "1"]]));
    expect(book.snapshot(snapshot)).toBe(true);
    expect(levels()).toBe("9900:40000 9850:20000 | 10050:10000 10100:30000");
    expect(book.lastUpdate).toBe(12);
  });

  it("adds, changes and removes levels in their place", () => {
    book.snapshot(snapshot);
    book.change(
      change(
        11,
        11,
        [
          ["98.75", "1"],
          ["99.00", "0"],
        ],
        [
          ["101.00", "2.5"],
          ["102", "1"],
        ],
      ),
    );
    expect(levels()).toBe("9875:10000 9850:20000 | 10100:25000 10200:10000");
    book.change(change(12, 12, [["55.00", "0"]]));
    expect(levels()).toBe("9875:10000 9850:20000 | 10100:25000 10200:10000");
  });

  it("asks for another snapshot where this one is too old for the changes that wait", () => {
    book.change(change(15, 16));
    expect(book.snapshot(snapshot)).toBe(false);
    expect(book.state).toBe("waiting");
    expect(book.snapshot({ ...snapshot, lastUpdateId: 14 })).toBe(true);
    expect(book.lastUpdate).toBe(16);
  });

  it("notices a gap, and is whole again behind the next snapshot", () => {
    book.snapshot(snapshot);
    expect(book.change(change(11, 12, [["99.00", "9"]]))).toBe(true);
    expect(book.change(change(14, 15, [["99.00", "1"]]))).toBe(false);
    expect(book.state).toBe("broken");
    expect(book.gaps).toBe(1);
    expect(book.change(change(16, 17))).toBe(false);
    book.reset();
    expect(book.change(change(18, 18, [["97.00", "1"]]))).toBe(true);
    expect(book.snapshot({ ...snapshot, lastUpdateId: 17 })).toBe(true);
    expect(levels()).toBe("9900:15000 9850:20000 9700:10000 | 10100:30000");
  });

  it("notices a gap among the changes that waited", () => {
    book.change(change(11, 11));
    book.change(change(13, 13));
    expect(book.snapshot(snapshot)).toBe(false);
    expect(book.state).toBe("broken");
  });

  it("passes over a change that it has already", () => {
    book.snapshot(snapshot);
    expect(book.change(change(9, 10, [["99.00", "0"]]))).toBe(true);
    expect(levels()).toBe("9900:15000 9850:20000 | 10100:30000");
  });
});

describe("levels in steps", () => {
  const level = (price: bigint, quantity: bigint) => ({ price, quantity });

  it("put bids below and asks above, so that no price looks better than it is", () => {
    expect(grouped([level(9999n, 1n), level(9991n, 2n), level(9990n, 4n), level(9989n, 8n)], 10n, false, 5)).toEqual([
      level(9990n, 7n),
      level(9980n, 8n),
    ]);
    expect(grouped([level(10001n, 1n), level(10010n, 2n), level(10011n, 4n)], 10n, true, 5)).toEqual([
      level(10010n, 3n),
      level(10020n, 4n),
    ]);
  });

  it("end after so many, each of them whole", () => {
    expect(grouped([level(3n, 1n), level(2n, 1n), level(1n, 1n)], 1n, false, 2)).toEqual([
      level(3n, 1n),
      level(2n, 1n),
    ]);
    expect(grouped([level(29n, 1n), level(21n, 1n), level(19n, 1n), level(9n, 1n)], 10n, false, 2)).toEqual([
      level(20n, 2n),
      level(10n, 1n),
    ]);
  });
});
