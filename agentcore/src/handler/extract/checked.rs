//! A deserializer that counts what it makes, and refuses what serde would round to infinity.
//!
//! JSON of a few bytes can become a value of hundreds: in a `serde_json::Value`, `{"":0}` takes 640. So the values and keys
//! of a payload are counted while they are decoded. They are counted where serde passes from one value to the next, so a part
//! of the JSON that a type ignores costs nothing.

use std::cell::Cell;
use std::fmt;

use serde_core::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// The number of values and keys that may still be made.
pub(super) struct Budget {
    most: usize,
    left: Cell<usize>,
    is_exceeded: Cell<bool>,
}

impl Budget {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            left: Cell::new(most),
            is_exceeded: Cell::new(false),
        }
    }

    /// Counts what passes through `inner`.
    #[inline]
    pub(super) fn check<T>(&self, inner: T) -> Checked<'_, T> {
        Checked {
            inner,
            budget: self,
            single: false,
        }
    }

    /// Whether decoding ended because there were too many values and keys.
    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded.get()
    }

    #[inline]
    fn take<E: Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.is_exceeded.set(true);
                Err(E::custom(TooMany(self.most)))
            }
        }
    }
}

/// The error of a payload with more values and keys than allowed.
pub(super) struct TooMany(pub(super) usize);

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the JSON has more than {} values and keys", self.0)
    }
}

/// Counts the values that pass through one of serde's parts of a deserializer.
pub(super) struct Checked<'b, T> {
    inner: T,
    budget: &'b Budget,
    /// Whether the next number is an `f32`.
    single: bool,
}

/// Defines the methods that make a value.
macro_rules! counted {
    ($($method:ident($($argument:ident: $type:ty),*)),+ $(,)?) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.budget.take()?;
            self.inner.$method($($argument,)* self.budget.check(visitor))
        }
    )+};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Checked<'_, D> {
    type Error = D::Error;

    counted! {
        deserialize_any(), deserialize_bool(), deserialize_i8(), deserialize_i16(), deserialize_i32(), deserialize_i64(),
        deserialize_i128(), deserialize_u8(), deserialize_u16(), deserialize_u32(), deserialize_u64(), deserialize_u128(),
        deserialize_f64(), deserialize_char(), deserialize_str(), deserialize_string(), deserialize_bytes(),
        deserialize_byte_buf(), deserialize_unit(), deserialize_unit_struct(name: &'static str), deserialize_seq(),
        deserialize_tuple(length: usize), deserialize_tuple_struct(name: &'static str, length: usize), deserialize_map(),
        deserialize_struct(name: &'static str, fields: &'static [&'static str]),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
        deserialize_identifier(), deserialize_ignored_any(),
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.budget.take()?;
        let mut visitor = self.budget.check(visitor);
        visitor.single = true;
        self.inner.deserialize_f32(visitor)
    }

    // The value inside these two is counted itself.

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(self.budget.check(visitor))
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner
            .deserialize_newtype_struct(name, self.budget.check(visitor))
    }
}

/// Defines the methods that receive a value.
macro_rules! passed_on {
    ($($method:ident($($value:ident: $type:ty)?)),+ $(,)?) => {$(
        #[inline]
        fn $method<E: Error>(self $(, $value: $type)?) -> Result<V::Value, E> {
            self.inner.$method($($value)?)
        }
    )+};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Checked<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    passed_on! {
        visit_bool(value: bool), visit_i8(value: i8), visit_i16(value: i16), visit_i32(value: i32), visit_i64(value: i64),
        visit_i128(value: i128), visit_u8(value: u8), visit_u16(value: u16), visit_u32(value: u32), visit_u64(value: u64),
        visit_u128(value: u128), visit_f32(value: f32), visit_char(value: char), visit_str(value: &str),
        visit_borrowed_str(value: &'de str), visit_string(value: String), visit_bytes(value: &[u8]),
        visit_borrowed_bytes(value: &'de [u8]), visit_byte_buf(value: Vec<u8>), visit_unit(),
    }

    /// Refuses a number that is finite in JSON and not in an `f32`. Serde would silently make it an infinity.
    #[inline]
    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        if self.single && value.is_finite() && (value as f32).is_infinite() {
            return Err(E::custom(format_args!(
                "number out of range: {value:e} does not fit into an f32"
            )));
        }
        self.inner.visit_f64(value)
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.budget.take()?;
        self.inner.visit_none()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(self.budget.check(inner))
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(self.budget.check(inner))
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(self.budget.check(items))
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(self.budget.check(entries))
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(self.budget.check(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Checked<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(self.budget.check(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Checked<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_element_seed(self.budget.check(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Checked<'_, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.inner.next_key_seed(self.budget.check(seed))
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(self.budget.check(seed))
    }
}

impl<'de, 'b, A: EnumAccess<'de>> EnumAccess<'de> for Checked<'b, A> {
    type Error = A::Error;
    type Variant = Checked<'b, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (name, content) = self.inner.variant_seed(self.budget.check(seed))?;
        Ok((name, self.budget.check(content)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Checked<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(self.budget.check(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(length, self.budget.check(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner
            .struct_variant(fields, self.budget.check(visitor))
    }
}
