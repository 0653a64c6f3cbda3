//! Values in the order of a form's cells: a bit for each cell that tells whether it is given, and the numbers of those that are.

/// The bits, the first cell in the lowest bit of the first byte, and the numbers.
pub(crate) fn pack(cells: impl ExactSizeIterator<Item = Option<i64>>) -> (Vec<u8>, Vec<i64>) {
    let mut present = vec![0_u8; cells.len().div_ceil(8)];
    let mut values = Vec::with_capacity(cells.len());
    for (place, number) in cells.enumerate() {
        if let Some(number) = number {
            present[place / 8] |= 1 << (place % 8);
            values.push(number);
        }
    }
    (present, values)
}

/// The field that does not fit the others.
pub(crate) type Misfit = &'static str;

/// What [`pack`] packed, of so many cells.
pub(crate) fn unpack(present: &[u8], values: &[i64], cells: u32) -> Result<Vec<Option<i64>>, Misfit> {
    let cells = cells as usize;
    if present.len() != cells.div_ceil(8) {
        return Err("present");
    }
    let mut given = values.iter().copied();
    let unpacked = (0..cells).map(|place| {
        let is_present = present[place / 8] & (1 << (place % 8)) != 0;
        if is_present { given.next().map(Some).ok_or("values") } else { Ok(None) }
    });
    let unpacked: Vec<_> = unpacked.collect::<Result<_, _>>()?;
    if given.next().is_some() { Err("values") } else { Ok(unpacked) }
}
