//! Finding what a request names, and saying what is nearest where there is no such thing.

use crate::core::Core;
use crate::limits::ECHO_BYTES_MAX;
use crate::replica::VenueReplica;
use crate::topic::Slot;
use codec::protocol::error::ErrorCode;
use codec::protocol::request::{Refusal, Request};
use codec::words::{Interval, Stream, Venue};

/// A name from a request as an error message repeats it: quoted, control characters escaped, cut.
pub fn echo(name: &str) -> String {
    let mut end = name.len().min(ECHO_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{:?}{}", &name[..end], if end < name.len() { "…" } else { "" })
}

/// The candidate that `name` most likely meant.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > ECHO_BYTES_MAX {
        return None;
    }
    let wanted = name.to_lowercase();
    candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 6)
        .map(|candidate| (strsim::jaro_winkler(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

/// "; did you mean X?", or what there is.
pub fn suggestion<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str> + Clone,
    listed_max: usize,
) -> String {
    if let Some(near) = nearest(name, candidates.clone()) {
        return format!("; did you mean {near:?}?");
    }
    let some: Vec<_> = candidates.take(listed_max + 1).collect();
    match some.len() {
        0 => String::new(),
        count if count <= listed_max => format!("; there is {}", some.join(", ")),
        _ => String::new(),
    }
}

impl Core {
    /// The venue a request names.
    pub(crate) fn named_venue(&self, request: &Request<'_>) -> Result<&VenueReplica, Refusal> {
        let name = request.text("venue")?;
        let carried = || self.replica.venues().iter().map(|venue| venue.config.venue.as_str());
        if let Some(venue) = Venue::from_word(name) {
            return self.replica.venue(venue).ok_or_else(|| {
                let carried: Vec<_> = carried().collect();
                Refusal::new(
                    ErrorCode::NotConfigured,
                    format!(
                        "venue {name:?} is not configured in this daemon, which carries {}",
                        carried.join(", ")
                    ),
                )
            });
        }
        let hint = suggestion(name, carried(), 8);
        Err(Refusal::new(ErrorCode::UnknownVenue, format!("no venue {}{hint}", echo(name))))
    }

    /// The instrument of a venue by its name.
    pub(crate) fn find_symbol(&self, venue: &VenueReplica, symbol: &str) -> Result<Slot, Refusal> {
        if let Some(slot) = self.replica.find(venue.config.venue, symbol) {
            return Ok(slot);
        }
        let word = venue.config.venue;
        if !venue.has_instruments {
            return Err(Refusal::new(
                ErrorCode::NotReady,
                format!(
                    "{word} has not told its instruments yet, so {} is not known; try again shortly",
                    echo(symbol)
                ),
            ));
        }
        let symbols = venue.sorted.iter().map(|&slot| &*self.replica.instrument(slot).symbol);
        let hint = suggestion(symbol, symbols, 20);
        Err(Refusal::new(
            ErrorCode::UnknownSymbol,
            format!("{word} does not carry {}{hint} (`get_symbols` lists them)", echo(symbol)),
        ))
    }

    /// The venue and instrument a request names.
    pub(crate) fn named_instrument(&self, request: &Request<'_>) -> Result<(&VenueReplica, Slot), Refusal> {
        let venue = self.named_venue(request)?;
        let slot = self.find_symbol(venue, request.text("symbol")?)?;
        Ok((venue, slot))
    }

    /// The interval a request names, of those the venue carries.
    pub(crate) fn named_interval(
        &self,
        request: &Request<'_>,
        venue: &VenueReplica,
    ) -> Result<Interval, Refusal> {
        let name = request.text("interval")?;
        if let Some(interval) =
            Interval::from_word(name).filter(|interval| venue.config.intervals.contains(interval))
        {
            return Ok(interval);
        }
        let carried: Vec<_> = venue.config.intervals.iter().map(|interval| interval.as_str()).collect();
        Err(Refusal::new(
            ErrorCode::UnknownInterval,
            format!(
                "{} does not carry interval {}; it carries {}",
                venue.config.venue,
                echo(name),
                carried.join(", ")
            ),
        ))
    }
}

/// Refuses a stream that the configuration leaves out.
pub fn require_stream(venue: &VenueReplica, stream: Stream) -> Result<(), Refusal> {
    if venue.config.streams.contains(&stream) {
        return Ok(());
    }
    let word = venue.config.venue;
    let key = if stream == Stream::Fills {
        format!("`venues.{word}.account_address` is not set")
    } else {
        format!("`venues.{word}.channels` leaves it out")
    };
    Err(Refusal::new(ErrorCode::NotConfigured, format!("{stream} of {word} are not carried: {key}")))
}
