//! Reports as bytes. A generator that made a `Report` of forty names each, only to encode it and drop it, would take more of
//! the machine than the services it measures.

use bytes::{Bytes, BytesMut};
use domain::catalogue::DataSet;
use rustc_hash::FxHashMap;

use crate::mix::{CELLS, Mix, Order};

/// Writes requests to submit a report, as `proto/tonghop/report/v1/report.proto` has them.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The name of each cell, as a field of `Value`.
    cells: Vec<Vec<u8>>,
    /// Where values are packed: by data set, the layout and which cells are given, as fields of `DenseValues`.
    dense: Option<FxHashMap<String, Vec<u8>>>,
}

/// Fields of `Report`, of `DenseValues`, of `Value` and of the request; their types.
const SUBMISSION_ID: u64 = 1;
const ORG_UNIT: u64 = 2;
const DATA_SET: u64 = 3;
const PERIOD: u64 = 4;
const REVISION: u64 = 5;
const VALUES: u64 = 6;
const DENSE: u64 = 8;
const LAYOUT: u64 = 1;
const PRESENT: u64 = 2;
const PACKED: u64 = 3;
const DATA_ELEMENT: u64 = 1;
const INTEGER: u64 = 3;
const REPORT: u64 = 1;
const VARINT: u64 = 0;
const BYTES: u64 = 2;

impl Writer {
    /// For forms whose cells are the same.
    pub(crate) fn new(data_sets: &[&DataSet], dense: bool) -> Self {
        let name = |cell: &domain::catalogue::Cell| {
            let mut field = Vec::new();
            put_text(&mut field, DATA_ELEMENT, cell.element.code.as_str());
            field
        };
        let cells = data_sets.first().map_or(&[][..], |data_set| data_set.cells()).iter().map(name).collect();
        let packed = |data_set: &&DataSet| {
            let mut fields = Vec::new();
            put_text(&mut fields, LAYOUT, &data_set.layout().to_string());
            put_bytes(&mut fields, PRESENT, &[0xff; CELLS / 8]);
            (data_set.code().to_string(), fields)
        };
        Self { cells, dense: dense.then(|| data_sets.iter().map(packed).collect()) }
    }

    /// The request for an order of the mix.
    pub(crate) fn request(&self, mix: &Mix, order: &Order) -> Bytes {
        let form = &mix.forms[order.form];
        let mut report = Vec::with_capacity(CELLS * 40 + 128);
        let mut id = uuid::Uuid::encode_buffer();
        put_text(&mut report, SUBMISSION_ID, order.id.hyphenated().encode_lower(&mut id));
        put_text(&mut report, ORG_UNIT, &mix.tree.communes[order.commune].code);
        put_text(&mut report, DATA_SET, form.data_set);
        put_text(&mut report, PERIOD, &form.period);
        put_varint(&mut report, REVISION << 3 | VARINT);
        put_varint(&mut report, u64::from(order.revision));
        let numbers = mix.numbers.of(order.form, order.commune, order.revision, order.kind);
        if let Some(fields) = self.dense.as_ref().and_then(|dense| dense.get(form.data_set)) {
            let mut values = Vec::with_capacity(CELLS * 3);
            numbers.iter().for_each(|number| put_varint(&mut values, zigzag(*number)));
            let mut dense = fields.clone();
            put_bytes(&mut dense, PACKED, &values);
            put_bytes(&mut report, DENSE, &dense);
            return request(&report);
        }
        for (name, number) in self.cells.iter().zip(numbers) {
            let number = zigzag(number);
            put_varint(&mut report, VALUES << 3 | BYTES);
            put_varint(&mut report, wide(name.len() + 1 + varint_len(number)));
            report.extend_from_slice(name);
            put_varint(&mut report, INTEGER << 3 | VARINT);
            put_varint(&mut report, number);
        }
        request(&report)
    }
}

fn request(report: &[u8]) -> Bytes {
    let mut request = BytesMut::with_capacity(report.len() + 4);
    put_bytes(&mut request, REPORT, report);
    request.freeze()
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn put_text(to: &mut impl bytes::BufMut, field: u64, text: &str) {
    put_bytes(to, field, text.as_bytes());
}

fn put_bytes(to: &mut impl bytes::BufMut, field: u64, bytes: &[u8]) {
    put_varint(to, field << 3 | BYTES);
    put_varint(to, wide(bytes.len()));
    to.put_slice(bytes);
}

fn put_varint(to: &mut impl bytes::BufMut, mut number: u64) {
    while number >= 0x80 {
        to.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.put_u8((number & 0x7f) as u8);
}

fn varint_len(number: u64) -> usize {
    number.checked_ilog2().map_or(1, |bits| usize::try_from(bits / 7 + 1).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::{
        encoded::Encoded,
        pb::{
            collector::v1::SubmitStreamRequest,
            report::v1::{Value, value},
        },
    };

    use super::*;
    use crate::{
        mix::{DATA_SETS, Kind, Purity, Tree},
        world,
    };

    #[test]
    fn a_request_is_what_protobuf_would_have_written() {
        let dir = world::catalogue_dir(false).unwrap();
        let catalogue = catalogue::load(dir.path()).unwrap().catalogue;
        let tree = Arc::new(Tree::new(&catalogue).unwrap());
        assert_eq!(tree.communes.len(), 10_599);
        let data_sets: Vec<_> = DATA_SETS.iter().map(|code| catalogue.find_data_set(code).unwrap()).collect();
        let mut mix = Mix::new(tree, 5);
        mix.begin(5).unwrap();
        for (place, dense) in (0..400).zip([false, true].into_iter().cycle()) {
            let writer = Writer::new(&data_sets, dense);
            let order = mix.next(Purity::Mixed).unwrap();
            let bytes = writer.request(&mix, &order);
            let request: SubmitStreamRequest = Encoded::from(bytes.clone()).decode().unwrap();
            assert_eq!(Encoded::new(&request), Encoded::from(bytes), "canonical, byte for byte");
            let report = request.report.unwrap();
            assert_eq!(report.submission_id, order.id.to_string());
            assert_eq!(report.revision, Some(i64::from(order.revision)));
            assert_eq!(report.period, mix.forms[order.form].period);
            let numbers = mix.numbers.of(order.form, order.commune, order.revision, order.kind);
            let sent: Vec<i64> = match report.dense {
                Some(dense) => {
                    assert_eq!(dense.present, [0xff; 5]);
                    let data_set = catalogue.find_data_set(&report.data_set).unwrap();
                    assert_eq!(dense.catalogue_version, data_set.layout().to_string());
                    dense.values
                }
                None => {
                    let integer = |value: &Value| match value.value {
                        Some(value::Value::Integer(number)) => number,
                        _ => panic!("{value:?}"),
                    };
                    report.values.iter().map(integer).collect()
                }
            };
            assert_eq!(sent, numbers, "report {place}, dense: {dense}");
            assert_eq!(order.kind == Kind::Invalid, numbers[1] > numbers[0]);
        }
    }

    #[test]
    fn varints_have_the_length_that_is_said() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(bytes.len(), varint_len(number), "{number}");
        }
    }
}
