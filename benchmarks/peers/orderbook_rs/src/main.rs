//! orderbook-rs does a flow: `orderbook-rs-peer FLOW ROUNDS WARM`.
//!
//! One thread, one book an instrument, no trade listener: an answer is what each call returns. Nobody's money is
//! checked, because the library keeps none. Each round starts with empty books; WARM rounds come first and do not
//! count; one more round, not timed, collects the answer. Each stretch of 1,024 commands is also timed alone and the
//! least time of all rounds kept: the sum is what a machine with nothing else to do would have taken. Last line: one
//! JSON object.
//!
//! | flow              | call                                                                                      |
//! |-------------------|-------------------------------------------------------------------------------------------|
//! | limit             | `add_limit_order_with_user_and_result`, good till cancelled                               |
//! | immediate         | `match_limit_order_with_user`: takes what it can, drops the rest (an `Ioc` order would    |
//! |                   | answer the fills of a part-filled order only to a listener)                               |
//! | cancel            | `cancel_order`                                                                            |
//! | reduce            | `get_order` for what is left, then `update_order` with the lower quantity                 |

use orderbook_rs::OrderBook;
use pricelevel::{Hash32, Id, OrderUpdate, Quantity, Side, TimeInForce, Trade};
use std::collections::HashMap;
use std::process::exit;
use std::time::Instant;

const HEADER_BYTES: usize = 64;
const OPERATION_BYTES: usize = 48;
const STRETCH: usize = 1024;
const LIMIT: u8 = 1;
const IMMEDIATE: u8 = 2;
const CANCEL: u8 = 3;
const REDUCE: u8 = 4;

struct Operation {
    id: u64,
    price: u64,
    lots: u64, // of a reduce: by how many
    instrument: u32,
    account: u32,
    kind: u8,
    side: Side,
}

struct Flow {
    operations: Vec<Operation>,
    preload: usize,
    instruments: usize,
}

/// What was answered; benchmarks/support/operations.h says how it is made.
struct Answer {
    fills: u64,
    lots: u64,
    notional: u64,
    digest: u64,
    refused: u64,
}

fn fail(sentence: &str) -> ! {
    eprintln!("{sentence}");
    exit(1)
}

fn long_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(data[at..at + 8].try_into().unwrap())
}

fn int_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().unwrap())
}

fn read_flow(path: &str) -> Flow {
    let data = std::fs::read(path).unwrap_or_else(|error| fail(&format!("{path} must be readable: {error}")));
    if data.len() < HEADER_BYTES || &data[..8] != b"IBFLOW01" {
        fail(&format!("{path} must be a flow file"));
    }
    let count = long_at(&data, 8) as usize;
    if data.len() != HEADER_BYTES + count * OPERATION_BYTES {
        fail(&format!("{path} must hold as many operations as it says"));
    }
    let mut totals: HashMap<u64, u64> = HashMap::new();
    let mut operations = Vec::with_capacity(count);
    for i in 0..count {
        let at = HEADER_BYTES + i * OPERATION_BYTES;
        let mut operation = Operation {
            id: long_at(&data, at),
            price: long_at(&data, at + 8),
            lots: long_at(&data, at + 16),
            instrument: int_at(&data, at + 24),
            account: int_at(&data, at + 28),
            kind: data[at + 32],
            side: if data[at + 33] == 1 { Side::Buy } else { Side::Sell },
        };
        if operation.kind == LIMIT {
            totals.insert(operation.id, operation.lots);
        } else if operation.kind == REDUCE {
            let total = operation.lots;
            operation.lots = totals.insert(operation.id, total).unwrap_or(total) - total;
        }
        operations.push(operation);
    }
    Flow { operations, preload: long_at(&data, 16) as usize, instruments: int_at(&data, 24) as usize }
}

impl Answer {
    fn new() -> Self {
        Answer { fills: 0, lots: 0, notional: 0, digest: 0xcbf2_9ce4_8422_2325, refused: 0 }
    }

    fn take(&mut self, taker: u64, trades: &[Trade]) {
        for trade in trades {
            let maker = trade.maker_order_id().as_u64().unwrap_or(0);
            let (price, lots) = (trade.price().as_u128() as u64, trade.quantity().as_u64());
            self.fills += 1;
            self.lots += lots;
            self.notional = self.notional.wrapping_add(price.wrapping_mul(lots));
            for part in [taker, maker, price, lots] {
                self.digest = (self.digest ^ part).wrapping_mul(1_099_511_628_211);
            }
        }
    }
}

fn user(account: u32) -> Hash32 {
    let mut bytes = [0u8; 32];
    bytes[..4].copy_from_slice(&account.to_le_bytes());
    Hash32::new(bytes)
}

fn refuse(answer: &mut Option<Answer>) {
    if let Some(answer) = answer {
        answer.refused += 1;
    }
}

fn limit(book: &OrderBook<()>, o: &Operation, user: Hash32, answer: &mut Option<Answer>) {
    let (id, price) = (Id::sequential(o.id), u128::from(o.price));
    match book.add_limit_order_with_user_and_result(id, price, o.lots, o.side, TimeInForce::Gtc, user, None) {
        Ok((_, Some(result))) => {
            if let Some(answer) = answer {
                answer.take(o.id, result.match_result.trades().as_vec());
            }
        }
        Ok((_, None)) => {}
        Err(_) => refuse(answer),
    }
}

fn immediate(book: &OrderBook<()>, o: &Operation, user: Hash32, answer: &mut Option<Answer>) {
    match book.match_limit_order_with_user(Id::sequential(o.id), o.lots, o.side, u128::from(o.price), user) {
        Ok(result) => {
            if let Some(answer) = answer {
                answer.take(o.id, result.trades().as_vec());
            }
        }
        Err(_) => refuse(answer),
    }
}

fn reduce(book: &OrderBook<()>, o: &Operation, answer: &mut Option<Answer>) {
    let order_id = Id::sequential(o.id);
    let left = book.get_order(order_id).map_or(0, |order| order.visible_quantity().as_u64());
    if left <= o.lots {
        refuse(answer);
        return;
    }
    if book.update_order(OrderUpdate::UpdateQuantity { order_id, new_quantity: Quantity::new(left - o.lots) }).is_err()
    {
        refuse(answer);
    }
}

fn apply(books: &[OrderBook<()>], users: &[Hash32], operations: &[Operation], answer: &mut Option<Answer>) {
    for o in operations {
        let (book, user) = (&books[o.instrument as usize - 1], users[o.account as usize]);
        match o.kind {
            LIMIT => limit(book, o, user, answer),
            IMMEDIATE => immediate(book, o, user, answer),
            CANCEL => {
                if !matches!(book.cancel_order(Id::sequential(o.id)), Ok(Some(_))) {
                    refuse(answer);
                }
            }
            _ => reduce(book, o, answer),
        }
    }
}

/// One round from empty books; nanoseconds of the timed part, and of each stretch of it the least seen so far.
fn run(flow: &Flow, stretches: &mut [u128], answer: &mut Option<Answer>) -> u128 {
    let books: Vec<OrderBook<()>> = (1..=flow.instruments).map(|n| OrderBook::new(&format!("I{n}"))).collect();
    let most = flow.operations.iter().map(|o| o.account).max().unwrap_or(0);
    let users: Vec<Hash32> = (0..=most).map(user).collect();
    apply(&books, &users, &flow.operations[..flow.preload], &mut None);
    let start = Instant::now();
    let mut before = 0;
    for (stretch, operations) in flow.operations[flow.preload..].chunks(STRETCH).enumerate() {
        apply(&books, &users, operations, answer);
        let now = start.elapsed().as_nanos();
        stretches[stretch] = stretches[stretch].min(now - before);
        before = now;
    }
    before
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let numbers: Vec<usize> = arguments.iter().skip(2).filter_map(|text| text.parse().ok()).collect();
    let (path, &[rounds, warm]) = (arguments.get(1), &numbers[..]) else {
        fail("usage: orderbook-rs-peer FLOW ROUNDS WARM");
    };
    let flow = read_flow(path.unwrap_or_else(|| fail("a flow must be named")));
    let timed = flow.operations.len() - flow.preload;
    let mut best = u128::MAX;
    let mut stretches = vec![u128::MAX; timed.div_ceil(STRETCH)];
    for round in 0..warm + rounds {
        let took = run(&flow, &mut stretches, &mut None);
        let what = if round < warm { "warm-up" } else { "round" };
        println!("{what} {}: {:.1} ns a command", round + 1, took as f64 / timed as f64);
        if round >= warm {
            best = best.min(took);
        }
    }
    let undisturbed: u128 = stretches.iter().sum();
    let mut answer = Some(Answer::new());
    run(&flow, &mut stretches, &mut answer);
    if let Some(a) = answer {
        println!(
            "{{\"engine\": \"orderbook-rs\", \"commands\": {timed}, \"ns_per_command\": {:.1}, \
             \"ns_per_command_undisturbed\": {:.1}, \"fills\": {}, \"lots\": {}, \"notional\": {}, \"digest\": \"{:016x}\", \"refused\": {}}}",
            best as f64 / timed as f64,
            undisturbed as f64 / timed as f64,
            a.fills,
            a.lots,
            a.notional,
            a.digest,
            a.refused
        );
    }
}
