DROP TABLE stream_states;
DROP TABLE stream_marks;
DROP TABLE candles;
DROP TABLE symbol_statistics;
DROP TABLE trade_statistics;
DROP TABLE daily_pnl;
DROP TABLE positions;
