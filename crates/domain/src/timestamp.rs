//! Instants, as the shell brings them.

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01T00:00:00Z, in microseconds since 1970.
    const FIRST: i64 = -62_135_596_800_000_000;
    /// 9999-12-31T23:59:59.999999Z, in microseconds since 1970.
    const LAST: i64 = 253_402_300_799_999_999;

    /// The instant that many microseconds after 1970-01-01T00:00:00Z; of those outside of the years 1 to 9999, which
    /// neither PostgreSQL nor protobuf can hold, the nearest that they can.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        if micros < Self::FIRST {
            Self(Self::FIRST)
        } else if micros > Self::LAST {
            Self(Self::LAST)
        } else {
            Self(micros)
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_micros(self) -> i64 {
        self.0
    }
}

impl From<time::OffsetDateTime> for Timestamp {
    fn from(instant: time::OffsetDateTime) -> Self {
        // The `time` crate's years end at ±9999: the microseconds fit an i64 with room to spare.
        Self::from_unix_micros(i64::try_from(instant.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for time::OffsetDateTime {
    fn from(instant: Timestamp) -> Self {
        Self::from_unix_timestamp_nanos(i128::from(instant.0) * 1_000).unwrap_or(Self::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_gives_an_instant_that_can_be_stored_and_told() {
        for (micros, year) in [(i64::MIN, 1), (0, 1970), (i64::MAX, 9999)] {
            let instant = time::OffsetDateTime::from(Timestamp::from_unix_micros(micros));
            assert_eq!(instant.year(), year);
            assert_eq!(Timestamp::from(instant), Timestamp::from_unix_micros(micros));
        }
    }
}
