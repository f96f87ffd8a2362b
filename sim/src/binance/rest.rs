//! Binance's REST as far as market data needs it: the answers of the model.

use super::hub::{Hub, STAMPS};
use super::question::{AggTradesQuery, FundingRatesQuery, KlinesQuery, Question, is_asked, page};
use super::{frames, funding, klines, listing};
use crate::disturbances::{CandleRest, Disturbances};
use crate::limits::BINANCE_AGG_TRADES_WINDOW_MS;
use crate::market::{Contract, HOUR_MS, Market, MarketHandle, Side, Trade};
use crate::protocol::{Request, Response};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// An error answer.
pub fn error(status: u16, code: i32, message: &str) -> Response {
    Response::json(status, format!(r#"{{"code":{code},"msg":"{message}"}}"#))
}

/// The answer to a symbol that does not exist.
pub fn invalid_symbol() -> Response {
    error(400, -1121, "Invalid symbol.")
}

/// The answer to a search too far back.
pub fn too_old() -> Response {
    error(400, -4166, "Search window is restricted to recent 2 days only.")
}

/// An answer, packed if the client takes gzip.
pub fn packed(body: &str, request: &Request) -> Response {
    let takes_gzip = request.header("accept-encoding").is_some_and(|value| value.contains("gzip"));
    if !takes_gzip {
        return Response::json(200, body);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    match encoder.write_all(body.as_bytes()).and_then(|()| encoder.finish()) {
        Ok(packed) => Response::json(200, packed).with_header("Content-Encoding", "gzip"),
        Err(error) => {
            log::warn!("cannot gzip an answer, sending it plain: {error}");
            Response::json(200, body)
        }
    }
}

/// Answers from a model.
pub fn answer(
    question: &Question,
    request: &Request,
    market: &MarketHandle,
    hub: &mut Hub,
    now_ms: i64,
) -> Option<Response> {
    let disturbances = &mut hub.disturbances;
    let response = match question {
        Question::Time => Response::json(200, format!(r#"{{"serverTime":{}}}"#, hub.clock.stamp(now_ms))),
        Question::ExchangeInfo => {
            let new_values = disturbances.lists_new_values();
            let told_ms = hub.clock.stamp(now_ms);
            return Some(packed(
                &listing::exchange_info(&market.instruments(), new_values, told_ms),
                request,
            ));
        }
        Question::Depth { symbol, limit } => depth(symbol, *limit, market, disturbances, now_ms),
        Question::AggTrades(query) => agg_trades(query, market, now_ms),
        Question::Klines(query) => match disturbances.candle_rest(now_ms) {
            CandleRest::Up => klines(query, market, disturbances, now_ms),
            CandleRest::Error => Response::text(500, "Internal Server Error"),
            CandleRest::Silent => return None,
        },
        Question::PremiumIndex { symbol } => premium_index(symbol.as_deref(), market, disturbances, now_ms),
        Question::FundingInfo => {
            Response::json(200, funding::funding_info(market.lock().instruments(), now_ms))
        }
        Question::FundingRates(query) => funding_rates(query, market, now_ms),
    };
    let is_stamped =
        matches!(question, Question::Depth { .. } | Question::AggTrades(_) | Question::PremiumIndex { .. });
    if !is_stamped || !hub.clock.has_stepped() {
        return Some(response);
    }
    let body = hub.clock.stamped(&String::from_utf8_lossy(&response.body), &STAMPS);
    Some(Response { body: body.into_bytes(), ..response })
}

fn depth(
    symbol: &str,
    limit: usize,
    market: &MarketHandle,
    disturbances: &mut Disturbances,
    now_ms: i64,
) -> Response {
    let market = market.lock();
    let Some(index) = listed(&market, symbol) else { return invalid_symbol() };
    let instrument = market.instrument(index);
    let history = market.history(index);
    let body = match disturbances.stale_age_ms(symbol) {
        Some(age_ms) => {
            let at_ms = (market.now_ms() - age_ms).max(history.oldest_ms());
            let old = history.book_at_time(at_ms).or_else(|| history.book_at_id(history.oldest_id()));
            let Some((book, last_id, time_ms)) = old else { return Response::text(503, "") };
            let levels = |side| book.levels(side).take(limit);
            frames::snapshot(instrument, (last_id, at_ms, time_ms), levels(Side::Bid), levels(Side::Ask))
        }
        None => {
            let book = market.book(index);
            let levels = |side| book.levels(side).take(limit);
            let ids = (market.symbol_update_id(index), now_ms, market.now_ms());
            frames::snapshot(instrument, ids, levels(Side::Bid), levels(Side::Ask))
        }
    };
    Response::json(200, body)
}

fn agg_trades(query: &AggTradesQuery, market: &MarketHandle, now_ms: i64) -> Response {
    let market = market.lock();
    let Some(index) = listed(&market, &query.symbol) else { return invalid_symbol() };
    if query.start_ms.is_some_and(|start_ms| start_ms < now_ms - BINANCE_AGG_TRADES_WINDOW_MS) {
        return too_old();
    }
    let instrument = market.instrument(index);
    let asked: Vec<&Trade> = market
        .history(index)
        .trades()
        .iter()
        .filter(|trade| is_asked(query, trade.id, trade.time_ms))
        .collect();
    let rows: Vec<String> =
        page(asked, query).into_iter().map(|trade| frames::agg_trade_row(instrument, trade)).collect();
    Response::json(200, format!("[{}]", rows.join(",")))
}

/// The index of a symbol of this venue: COIN-M contracts belong to another.
fn listed(market: &Market, symbol: &str) -> Option<usize> {
    let coin_margined = |index: &usize| market.instrument(*index).contract == Contract::CoinPerpetual;
    market.find(symbol).filter(|index| !coin_margined(index))
}

fn klines(query: &KlinesQuery, market: &MarketHandle, disturbances: &Disturbances, now_ms: i64) -> Response {
    let market = market.lock();
    let Some(index) = listed(&market, &query.symbol) else { return invalid_symbol() };
    let candles = market.candles(index);
    let end_ms = query.end_ms.unwrap_or(now_ms).min(now_ms);
    let mut rows = match query.start_ms {
        Some(start_ms) => {
            let first_ms = start_ms.max(candles.oldest_open(query.interval));
            // Months are up to a thirtieth longer than they are counted.
            let about_ms = query.interval.about_ms() + query.interval.about_ms() / 30;
            let span_ms = about_ms.saturating_mul(query.limit as i64 + 1);
            let mut rows = candles.rows(query.interval, first_ms, end_ms.min(first_ms + span_ms), now_ms);
            rows.truncate(query.limit);
            rows
        }
        None => candles.last_rows(query.interval, query.limit, end_ms, now_ms),
    };
    let instrument = market.instrument(index);
    disturbances.delay_rows(&query.symbol, &mut rows, instrument.lot_e8(), now_ms);
    Response::json(200, klines::rows(instrument, &rows))
}

fn funding_rates(query: &FundingRatesQuery, market: &MarketHandle, now_ms: i64) -> Response {
    let market = market.lock();
    let Some(index) = listed(&market, &query.symbol) else { return invalid_symbol() };
    let period_ms = i64::from(market.instrument(index).funding_hours.max(1)) * HOUR_MS;
    let to_ms = query.end_ms.unwrap_or(now_ms).min(now_ms);
    let newest_ms = to_ms - to_ms.rem_euclid(period_ms) - (query.limit as i64 - 1) * period_ms;
    let from_ms = query.start_ms.unwrap_or(newest_ms);
    Response::json(200, funding::funding_rates(&market, index, from_ms, to_ms, query.limit))
}

fn premium_index(
    symbol: Option<&str>,
    market: &MarketHandle,
    disturbances: &Disturbances,
    now_ms: i64,
) -> Response {
    let market = market.lock();
    let row = |index: usize| {
        let mut funding = market.funding_at(index, market.now_ms())?;
        let symbol = &market.instrument(index).symbol;
        if disturbances.rate_is_empty(symbol, now_ms) {
            funding.rate_e10 = None;
        }
        Some(funding::premium_index(symbol, &funding))
    };
    match symbol {
        Some(symbol) => {
            listed(&market, symbol).and_then(row).map_or_else(invalid_symbol, |row| Response::json(200, row))
        }
        None => {
            let rows: Vec<String> = (0..market.symbol_count())
                .filter(|index| market.instrument(*index).contract != Contract::CoinPerpetual)
                .filter_map(row)
                .collect();
            Response::json(200, format!("[{}]", rows.join(",")))
        }
    }
}
