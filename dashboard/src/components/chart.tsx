/** Charts: lightweight-charts in the page's own colours, drawn anew when the theme changes. */
import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";
import {
  AreaSeries,
  BaselineSeries,
  CandlestickSeries,
  ColorType,
  createChart,
  CrosshairMode,
  HistogramSeries,
  type IChartApi,
  LineStyle,
  type UTCTimestamp,
} from "lightweight-charts";
import { effect } from "@preact/signals";
import { painted } from "../state/theme";
import { candles, instrument, interval, lastCandle, type Candle } from "../state/market";

/** A colour of the style sheet as the canvas needs it. */
function colour(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function faint(rgb: string, alpha: number): string {
  const parts = rgb.match(/[\d.]+/g) ?? ["0", "0", "0"];
  return `rgba(${parts.slice(0, 3).join(", ")}, ${alpha})`;
}

function base(element: HTMLElement): IChartApi {
  const [text, line, panel] = [colour("--muted"), colour("--line"), colour("--panel")];
  return createChart(element, {
    autoSize: true,
    layout: {
      background: { type: ColorType.Solid, color: panel },
      textColor: text,
      fontFamily: "Inter, system-ui, sans-serif",
      fontSize: 11,
      attributionLogo: false,
    },
    localization: { locale: "en-GB" },
    grid: { vertLines: { color: faint(line, 0.5) }, horzLines: { color: faint(line, 0.5) } },
    rightPriceScale: { borderColor: line },
    timeScale: { borderColor: line, timeVisible: true, secondsVisible: false, rightOffset: 4 },
    crosshair: {
      mode: CrosshairMode.Normal,
      vertLine: { color: text, labelBackgroundColor: colour("--raised") },
      horzLine: { color: text, labelBackgroundColor: colour("--raised") },
    },
  });
}

const at = (seconds: number): UTCTimestamp => seconds as UTCTimestamp;

// The library draws with binary numbers: a picture, from which no amount is read back.
const bar = (one: Candle) => ({
  time: at(one.time),
  open: Number(one.open),
  high: Number(one.high),
  low: Number(one.low),
  close: Number(one.close),
});

export function CandleChart(): JSX.Element {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = ref.current;
    if (!element) return undefined;
    const stop = effect(() => {
      // Theme, instrument and interval make another chart; candles alone do not.
      void painted.value;
      const digits = instrument.value?.price_decimals ?? 2;
      const chart = base(element);
      chart.timeScale().applyOptions({ secondsVisible: interval.value === "1s" });
      const [up, down] = [colour("--buy"), colour("--sell")];
      const series = chart.addSeries(CandlestickSeries, {
        upColor: up,
        borderUpColor: up,
        wickUpColor: up,
        downColor: down,
        borderDownColor: down,
        wickDownColor: down,
        priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits },
      });
      const volume = chart.addSeries(HistogramSeries, {
        priceScaleId: "",
        priceFormat: { type: "volume" },
        lastValueVisible: false,
        priceLineVisible: false,
      });
      series.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.22 } });
      volume.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
      const column = (one: Candle) => ({
        time: at(one.time),
        value: Number(one.volume),
        color: faint(Number(one.close) >= Number(one.open) ? up : down, 0.35),
      });
      let newest = 0;
      const all = effect(() => {
        const rows = candles.value ?? [];
        series.setData(rows.map(bar));
        volume.setData(rows.map(column));
        newest = rows.at(-1)?.time ?? 0;
        if (rows.length > 0) chart.timeScale().setVisibleLogicalRange({ from: rows.length - 120, to: rows.length + 4 });
      });
      const live = effect(() => {
        const one = lastCandle.value;
        if (!one || !candles.value || one.time < newest) return;
        newest = one.time;
        series.update(bar(one));
        volume.update(column(one));
      });
      return () => {
        all();
        live();
        chart.remove();
      };
    });
    return stop;
  }, []);
  return <div class="chart" ref={ref} role="img" aria-label="Candles of the chosen instrument" />;
}

export interface Point {
  time: number;
  value: number;
}

/** A curve over days: "result" is coloured on either side of nought, "drawdown" hangs from it, "columns" are single days. */
export function Curve(props: {
  kind: "result" | "drawdown" | "columns";
  points: Point[];
  label: string;
  digits: number;
}): JSX.Element {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = ref.current;
    if (!element) return undefined;
    const stop = effect(() => {
      void painted.value;
      const chart = base(element);
      chart.timeScale().applyOptions({ timeVisible: false, rightOffset: 1 });
      const [up, down] = [colour("--buy"), colour("--sell")];
      const priceFormat = { type: "price" as const, precision: props.digits, minMove: 10 ** -props.digits };
      const data = props.points.map((point) => ({ time: at(point.time), value: point.value }));
      if (props.kind === "result") {
        const series = chart.addSeries(BaselineSeries, {
          priceFormat,
          baseValue: { type: "price", price: 0 },
          topLineColor: up,
          topFillColor1: faint(up, 0.28),
          topFillColor2: faint(up, 0.04),
          bottomLineColor: down,
          bottomFillColor1: faint(down, 0.04),
          bottomFillColor2: faint(down, 0.28),
          lineWidth: 2,
          priceLineVisible: false,
        });
        series.setData(data);
        series.createPriceLine({
          price: 0,
          color: colour("--muted"),
          lineWidth: 1,
          lineStyle: LineStyle.Dotted,
          axisLabelVisible: false,
          title: "",
        });
      } else if (props.kind === "drawdown") {
        chart
          .addSeries(AreaSeries, {
            priceFormat,
            lineColor: down,
            topColor: faint(down, 0.05),
            bottomColor: faint(down, 0.35),
            invertFilledArea: true,
            lineWidth: 2,
            priceLineVisible: false,
          })
          .setData(data);
      } else {
        chart
          .addSeries(HistogramSeries, { priceFormat, priceLineVisible: false, lastValueVisible: false })
          .setData(data.map((point) => ({ ...point, color: point.value >= 0 ? up : down })));
      }
      chart.timeScale().fitContent();
      return () => chart.remove();
    });
    return stop;
  }, [props.points, props.kind, props.digits]);
  return <div class="chart" ref={ref} role="img" aria-label={props.label} />;
}

/** A line of the last minutes, small enough to stand in a row. */
export function Spark(props: { values: number[]; label: string }): JSX.Element {
  const width = 120;
  const height = 26;
  const most = Math.max(...props.values, 1e-9);
  const points = props.values.map((value, index) => {
    const x = props.values.length < 2 ? 0 : (index / (props.values.length - 1)) * width;
    return `${x.toFixed(1)},${(height - 2 - (value / most) * (height - 4)).toFixed(1)}`;
  });
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={props.label}
    >
      <polyline points={points.join(" ")} />
    </svg>
  );
}
