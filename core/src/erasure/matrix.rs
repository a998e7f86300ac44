//! The matrices that make parity, and that bring lost parts back. The generator is the systematic
//! Vandermonde matrix of Backblaze's and `reed-solomon-erasure`'s codecs: row `r` of the raw
//! matrix is `r^0, r^1 ...`, and all of it is multiplied by the inverse of its upper square, which
//! leaves data as it is. Any K of its rows have an inverse.

use super::field::{inverse, multiply, power};

pub(super) type Row = Vec<u8>;

/// The rows of all parts, data first.
pub(super) fn generator(data: usize, parts: usize) -> Vec<Row> {
    assert!(data >= 1 && data <= parts && parts <= 256, "no codec has {data} of {parts} parts");
    let raw: Vec<Row> =
        (0..parts).map(|row| (0..data).map(|column| power(row as u8, column)).collect()).collect();
    let upper = invert(raw[..data].to_vec()).expect("rows of different numbers are independent");
    product(&raw, &upper)
}

pub(super) fn product(left: &[Row], right: &[Row]) -> Vec<Row> {
    let columns = right.first().map_or(0, Vec::len);
    let cell = |row: &Row, column: usize| {
        row.iter().zip(right).fold(0, |sum, (value, other)| sum ^ multiply(*value, other[column]))
    };
    left.iter().map(|row| (0..columns).map(|column| cell(row, column)).collect()).collect()
}

/// Gauss and Jordan; `None` if rows depend on one another.
pub(super) fn invert(mut matrix: Vec<Row>) -> Option<Vec<Row>> {
    let size = matrix.len();
    assert!(matrix.iter().all(|row| row.len() == size), "only a square has an inverse");
    let mut result: Vec<Row> =
        (0..size).map(|row| (0..size).map(|column| u8::from(row == column)).collect()).collect();
    for column in 0..size {
        let pivot = (column..size).find(|row| matrix[*row][column] != 0)?;
        matrix.swap(column, pivot);
        result.swap(column, pivot);
        let scale = inverse(matrix[column][column]);
        for row in [&mut matrix[column], &mut result[column]] {
            row.iter_mut().for_each(|value| *value = multiply(*value, scale));
        }
        for row in (0..size).filter(|row| *row != column) {
            let factor = matrix[row][column];
            for matrix in [&mut matrix, &mut result] {
                let (source, target) = two(matrix, column, row);
                target.iter_mut().zip(source).for_each(|(value, other)| *value ^= multiply(*other, factor));
            }
        }
    }
    Some(result)
}

/// One row to read and another to change.
fn two(matrix: &mut [Row], source: usize, target: usize) -> (&Row, &mut Row) {
    let (low, high) = matrix.split_at_mut(source.max(target));
    if source < target { (&low[source], &mut high[0]) } else { (&high[0], &mut low[target]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_stays_as_it_is() {
        let rows = generator(5, 9);
        for (number, row) in rows[..5].iter().enumerate() {
            assert!(row.iter().enumerate().all(|(column, value)| *value == u8::from(column == number)));
        }
    }

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let rows = generator(6, 12);
        let square: Vec<Row> = [0, 3, 7, 8, 10, 11].iter().map(|row| rows[*row].clone()).collect();
        let one = product(&square, &invert(square.clone()).unwrap());
        assert_eq!(one, generator(6, 6));
        assert_eq!(invert(vec![vec![1, 2], vec![1, 2]]), None);
    }
}
