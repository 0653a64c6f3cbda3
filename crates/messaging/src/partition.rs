//! How verdicts are spread over partitions.

use std::fmt;

/// A partition of the stream of verdicts. Everything about one data set is in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u16);

impl Partition {
    /// The partition's number, from 0.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions there are. Fixed when the streams are made: another number would send a data set elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions(u16);

impl Partitions {
    /// That many, from 1 to 1,024.
    #[must_use]
    pub const fn new(count: u16) -> Option<Self> {
        if count >= 1 && count <= 1_024 { Some(Self(count)) } else { None }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.0
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (0..self.0).map(Partition)
    }

    /// The partition of a data set.
    ///
    /// A data set's periods belong together, because a quarter's total is made of its months' reports; two data sets
    /// never share a total.
    #[must_use]
    pub fn of(self, data_set: &str) -> Partition {
        // FNV-1a, 32 bits, as NATS's own subject partitioning uses.
        let hash =
            data_set.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Partition(u16::try_from(hash % u32::from(self.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_set_keeps_its_partition() {
        let partitions = Partitions::new(32).unwrap();
        // Written down: another result would send stored data sets to other partitions.
        assert_eq!(
            ["identity", "online_services", "organisation"].map(|code| partitions.of(code).number()),
            [27, 19, 7]
        );
        assert!(Partitions::new(0).is_none() && Partitions::new(1025).is_none());
    }
}
