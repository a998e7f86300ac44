//! Arithmetic of the field with 256 elements (x^8 + x^4 + x^3 + x^2 + 1, as everybody's
//! Reed-Solomon of bytes has it). Only matrices are made of it; bulk data goes through
//! [`super::codec`], which never multiplies.

/// What x^8 is equal to.
pub(super) const REDUCTION: u8 = 0x1d;

pub(super) const fn double(value: u8) -> u8 {
    (value << 1) ^ (if value & 0x80 == 0 { 0 } else { REDUCTION })
}

pub(super) const fn multiply(left: u8, right: u8) -> u8 {
    let mut product = 0;
    let mut bit = 8;
    while bit > 0 {
        bit -= 1;
        product = double(product);
        if right >> bit & 1 == 1 {
            product ^= left;
        }
    }
    product
}

/// The power of a value; anything to the power of 0 is 1.
pub(super) fn power(value: u8, exponent: usize) -> u8 {
    (0..exponent).fold(1, |product, _| multiply(product, value))
}

/// The value's 254th power, since the 255th of anything but 0 is 1. 0 has no inverse and gives 0.
pub(super) fn inverse(value: u8) -> u8 {
    power(value, 254)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_zero_has_an_inverse() {
        assert!((1..=255).all(|value| multiply(value, inverse(value)) == 1));
    }

    #[test]
    fn the_field_obeys_its_laws() {
        for left in 0..=255 {
            for right in (0..=255).step_by(3) {
                assert_eq!(multiply(left, right), multiply(right, left));
                let sum = multiply(left, 0x53) ^ multiply(right, 0x53);
                assert_eq!(multiply(left ^ right, 0x53), sum);
            }
        }
        assert_eq!((multiply(2, 0x80), power(2, 8)), (REDUCTION, REDUCTION));
    }
}
