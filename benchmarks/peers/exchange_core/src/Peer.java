import exchange.core2.collections.objpool.ObjectsPool;
import exchange.core2.core.ExchangeApi;
import exchange.core2.core.ExchangeCore;
import exchange.core2.core.common.BalanceAdjustmentType;
import exchange.core2.core.common.CoreSymbolSpecification;
import exchange.core2.core.common.CoreWaitStrategy;
import exchange.core2.core.common.MatcherEventType;
import exchange.core2.core.common.MatcherTradeEvent;
import exchange.core2.core.common.OrderAction;
import exchange.core2.core.common.OrderType;
import exchange.core2.core.common.SymbolType;
import exchange.core2.core.common.api.binary.BatchAddSymbolsCommand;
import exchange.core2.core.common.cmd.CommandResultCode;
import exchange.core2.core.common.cmd.OrderCommand;
import exchange.core2.core.common.cmd.OrderCommandType;
import exchange.core2.core.common.config.ExchangeConfiguration;
import exchange.core2.core.common.config.InitialStateConfiguration;
import exchange.core2.core.common.config.LoggingConfiguration;
import exchange.core2.core.common.config.OrdersProcessingConfiguration;
import exchange.core2.core.common.config.PerformanceConfiguration;
import exchange.core2.core.common.config.ReportsQueriesConfiguration;
import exchange.core2.core.common.config.SerializationConfiguration;
import exchange.core2.core.orderbook.IOrderBook;
import exchange.core2.core.orderbook.OrderBookDirectImpl;
import exchange.core2.core.orderbook.OrderBookEventsHelper;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.LongStream;

/**
 * exchange-core does a flow: {@code Peer FLOW ROUNDS WARM pipeline|book [WAIT]}.
 *
 * <pre>
 * pipeline   producer ──▶ grouping ──▶ risk (hold) ──▶ matching ──▶ risk (release) and results     journaling off
 * book       one thread, OrderBookDirectImpl alone: no accounts, no risk, no ring
 * </pre>
 *
 * Each round starts a fresh engine; WARM rounds come first and do not count. Timed rounds only count results; one more
 * round, not timed, collects the answer. Of the book, each stretch of 1,024 commands is also timed alone and the least
 * time of all rounds kept: the sum is what a machine with nothing else to do would have taken. Last line: one JSON
 * object.
 */
public final class Peer {
    private static final int QUOTE = 1; // the base currency of symbol n is n + 1
    private static final long AMOUNT = 1L << 55;
    private static final int BATCH_SYMBOLS = 500;
    private static final int SETUP_SECONDS = 60;
    private static final int STRETCH = 1024;

    private final Flow flow;
    private final long[] stretches; // of the timed operations: least nanoseconds seen
    private final OrderAction[] actions = {null, OrderAction.BID, OrderAction.ASK};
    private final OrderType[] types = {null, OrderType.GTC, OrderType.IOC};
    private Answer answer; // null: not collected
    private long refused;
    private final AtomicLong done = new AtomicLong(); // results seen, all of them; written by one thread
    private boolean counting; // operations of the flow, as against the setup

    private Peer(Flow flow, long[] stretches) {
        this.flow = flow;
        this.stretches = stretches;
    }

    public static void main(String[] arguments) throws Exception {
        Flow flow = new Flow(Path.of(arguments[0]));
        int rounds = Integer.parseInt(arguments[1]);
        int warm = Integer.parseInt(arguments[2]);
        boolean pipeline = arguments[3].equals("pipeline");
        CoreWaitStrategy wait = CoreWaitStrategy.valueOf(arguments.length > 4 ? arguments[4] : "YIELDING");
        int timed = flow.count - flow.preload;
        long best = Long.MAX_VALUE;
        long[] stretches = new long[(timed + STRETCH - 1) / STRETCH];
        for (int round = 0; round < warm + rounds; round++) {
            if (round <= warm) {
                Arrays.fill(stretches, Long.MAX_VALUE);
            }
            Peer peer = new Peer(flow, stretches);
            long took = pipeline ? peer.runPipeline(wait, false) : peer.runBook(false);
            System.out.printf("%s %d: %.1f ns a command%n", round < warm ? "warm-up" : "round", round + 1,
                    (double) took / timed);
            if (round >= warm) {
                best = Math.min(best, took);
            }
        }
        long undisturbed = LongStream.of(stretches).sum();
        Peer last = new Peer(flow, stretches);
        if (pipeline) {
            last.runPipeline(wait, true);
        } else {
            last.runBook(true);
        }
        System.out.printf("{\"engine\": \"exchange-core\", \"part\": \"%s\", \"commands\": %d, "
                        + "\"ns_per_command\": %.1f, %s%s, \"refused\": %d}%n",
                arguments[3], timed, (double) best / timed,
                pipeline ? "" : String.format("\"ns_per_command_undisturbed\": %.1f, ", (double) undisturbed / timed),
                last.answer.json(), last.refused);
    }

    // ---- The answer ------------------------------------------------------------------------------------------------

    private void collect(OrderCommand command) {
        if (command.resultCode != CommandResultCode.SUCCESS) {
            refused++;
        }
        for (MatcherTradeEvent e = command.matcherEvent; e != null; e = e.nextEvent) {
            if (e.eventType == MatcherEventType.TRADE) {
                answer.fill(command.orderId, e.matchedOrderId, e.price, e.size);
            }
        }
    }

    // ---- The whole pipeline ----------------------------------------------------------------------------------------

    private long runPipeline(CoreWaitStrategy wait, boolean collects) throws Exception {
        long[] seen = {0};
        ExchangeCore core = ExchangeCore.builder()
                .resultsConsumer((command, sequence) -> {
                    if (answer != null && counting) {
                        collect(command);
                    }
                    done.lazySet(++seen[0]);
                })
                .exchangeConfiguration(configuration(wait))
                .build();
        core.startup();
        ExchangeApi api = core.getApi();
        long sent = setUp(api);
        sent = submit(api, 0, flow.preload, sent);
        await(sent);
        answer = collects ? new Answer() : null;
        counting = true;
        long start = System.nanoTime();
        sent = submit(api, flow.preload, flow.count, sent);
        await(sent);
        long took = System.nanoTime() - start;
        counting = false;
        core.shutdown(10, TimeUnit.SECONDS);
        return took;
    }

    private static ExchangeConfiguration configuration(CoreWaitStrategy wait) {
        return ExchangeConfiguration.builder()
                .ordersProcessingCfg(OrdersProcessingConfiguration.builder()
                        .riskProcessingMode(OrdersProcessingConfiguration.RiskProcessingMode.FULL_PER_CURRENCY)
                        .marginTradingMode(OrdersProcessingConfiguration.MarginTradingMode.MARGIN_TRADING_DISABLED)
                        .build())
                .initStateCfg(InitialStateConfiguration.cleanStart("PEER"))
                .performanceCfg(PerformanceConfiguration.throughputPerformanceBuilder()
                        .matchingEnginesNum(1)
                        .riskEnginesNum(1)
                        .threadFactory(Peer::thread)
                        .waitStrategy(wait)
                        .orderBookFactory(OrderBookDirectImpl::new)
                        .build())
                .reportsQueriesCfg(ReportsQueriesConfiguration.createStandardConfig())
                .loggingCfg(LoggingConfiguration.DEFAULT)
                .serializationCfg(SerializationConfiguration.DEFAULT)
                .build();
    }

    /** Daemons: a failure of one of them, or here, ends the program and does not leave it waiting. */
    private static Thread thread(Runnable work) {
        Thread made = new Thread(work);
        made.setDaemon(true);
        return made;
    }

    private static CoreSymbolSpecification symbol(int number) {
        return CoreSymbolSpecification.builder()
                .symbolId(number)
                .type(SymbolType.CURRENCY_EXCHANGE_PAIR)
                .baseCurrency(number + 1)
                .quoteCurrency(QUOTE)
                .baseScaleK(1)
                .quoteScaleK(1)
                .makerFee(1)
                .takerFee(2)
                .build();
    }

    /** Symbols, accounts, and money for whatever the flow does. Returns how many results there must be. */
    private long setUp(ExchangeApi api) throws Exception {
        List<CoreSymbolSpecification> symbols = new ArrayList<>();
        for (int n = 1; n <= flow.instruments; n++) {
            symbols.add(symbol(n));
            if (symbols.size() == BATCH_SYMBOLS || n == flow.instruments) {
                api.submitBinaryDataAsync(new BatchAddSymbolsCommand(symbols)).get(SETUP_SECONDS, TimeUnit.SECONDS);
                symbols.clear();
            }
        }
        long sent = done.get();
        long transaction = 0;
        boolean[] known = new boolean[(flow.accounts + 1) * (flow.instruments + 1)];
        for (int account = 1; account <= flow.accounts; account++) {
            api.createUser(0, 0, 0, account);
            api.balanceAdjustment(0, 0, 0, account, ++transaction, QUOTE, AMOUNT, BalanceAdjustmentType.ADJUSTMENT);
            sent += 2;
        }
        for (int i = 0; i < flow.count; i++) {
            int at = flow.account[i] * (flow.instruments + 1) + flow.instrument[i];
            if (!known[at]) {
                known[at] = true;
                api.balanceAdjustment(0, 0, 0, flow.account[i], ++transaction, flow.instrument[i] + 1, AMOUNT,
                        BalanceAdjustmentType.ADJUSTMENT);
                sent++;
            }
        }
        await(sent);
        return sent;
    }

    private long submit(ExchangeApi api, int from, int to, long sent) {
        Flow f = flow;
        for (int i = from; i < to; i++) {
            switch (f.kind[i]) {
                case Flow.CANCEL:
                    api.cancelOrder(0, 0, i, f.id[i], f.instrument[i], f.account[i]);
                    break;
                case Flow.REDUCE:
                    api.reduceOrder(0, 0, i, f.lots[i], f.id[i], f.instrument[i], f.account[i]);
                    break;
                default:
                    api.placeNewOrder(0, 0, i, f.id[i], 0, f.price[i], f.price[i], f.lots[i], actions[f.side[i]],
                            types[f.kind[i]], f.instrument[i], f.account[i]);
            }
        }
        return sent + to - from;
    }

    private void await(long sent) {
        while (done.get() < sent) {
            LockSupport.parkNanos(10_000);
        }
    }

    // ---- The order book alone --------------------------------------------------------------------------------------

    private long runBook(boolean collects) {
        OrderBookEventsHelper events = new OrderBookEventsHelper(MatcherTradeEvent::new);
        ObjectsPool pool = new ObjectsPool(poolSizes());
        IOrderBook[] books = new IOrderBook[flow.instruments + 1];
        for (int n = 1; n <= flow.instruments; n++) {
            books[n] = new OrderBookDirectImpl(symbol(n), pool, events, LoggingConfiguration.DEFAULT);
        }
        OrderCommand command = new OrderCommand();
        apply(books, command, 0, flow.preload);
        answer = collects ? new Answer() : null;
        long start = System.nanoTime();
        long before = start;
        for (int i = flow.preload; i < flow.count; i += STRETCH) {
            apply(books, command, i, Math.min(i + STRETCH, flow.count));
            long now = System.nanoTime();
            int stretch = (i - flow.preload) / STRETCH;
            stretches[stretch] = Math.min(stretches[stretch], now - before);
            before = now;
        }
        return before - start;
    }

    /** As the engine's own matching thread sizes it. */
    private static Map<Integer, Integer> poolSizes() {
        Map<Integer, Integer> sizes = new HashMap<>();
        sizes.put(ObjectsPool.DIRECT_ORDER, 1024 * 1024);
        sizes.put(ObjectsPool.DIRECT_BUCKET, 1024 * 64);
        sizes.put(ObjectsPool.ART_NODE_4, 1024 * 32);
        sizes.put(ObjectsPool.ART_NODE_16, 1024 * 16);
        sizes.put(ObjectsPool.ART_NODE_48, 1024 * 8);
        sizes.put(ObjectsPool.ART_NODE_256, 1024 * 4);
        return sizes;
    }

    private void apply(IOrderBook[] books, OrderCommand c, int from, int to) {
        Flow f = flow;
        for (int i = from; i < to; i++) {
            c.orderId = f.id[i];
            c.symbol = f.instrument[i];
            c.uid = f.account[i];
            c.timestamp = i;
            c.size = f.lots[i];
            c.matcherEvent = null;
            c.resultCode = CommandResultCode.VALID_FOR_MATCHING_ENGINE;
            if (f.kind[i] == Flow.CANCEL) {
                c.command = OrderCommandType.CANCEL_ORDER;
            } else if (f.kind[i] == Flow.REDUCE) {
                c.command = OrderCommandType.REDUCE_ORDER;
            } else {
                c.command = OrderCommandType.PLACE_ORDER;
                c.price = f.price[i];
                c.reserveBidPrice = f.price[i];
                c.action = actions[f.side[i]];
                c.orderType = types[f.kind[i]];
            }
            c.resultCode = IOrderBook.processCommand(books[c.symbol], c);
            if (answer != null) {
                collect(c);
            }
        }
    }
}
