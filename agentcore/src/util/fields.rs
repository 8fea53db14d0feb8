//! Serialises structs field by field, in the order in which the macro names them.
//!
//! It replaces serde's derive, which takes longer to build than any other dependency but syn and tokio. An agent whose own types
//! need no derive is built without it.

use serde_core::ser::SerializeMap;

/// A value that is part of a map: a whole struct, or the fields that one struct adds to another.
pub(crate) trait Fields {
    fn add_to<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

impl<T: Fields> Fields for Option<T> {
    fn add_to<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.iter().try_for_each(|fields| fields.add_to(map))
    }
}

/// Serialises a type as a map of the named fields. `field?` is left out while it is `None`. `..field` is replaced by the field's
/// own fields.
macro_rules! fields {
    ($type:ident $(<$life:lifetime>)? { $($fields:tt)* }) => {
        impl $(<$life>)? $crate::util::fields::Fields for $type $(<$life>)? {
            fn add_to<M: serde_core::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $crate::util::fields::fields!(@each self map $($fields)*);
                Ok(())
            }
        }

        impl $(<$life>)? serde_core::Serialize for $type $(<$life>)? {
            fn serialize<S: serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                $crate::util::fields::Fields::add_to(self, &mut map)?;
                serde_core::ser::SerializeMap::end(map)
            }
        }
    };
    (@each $self:ident $map:ident $(,)?) => {};
    (@each $self:ident $map:ident ..$field:ident $(, $($rest:tt)*)?) => {
        $crate::util::fields::Fields::add_to(&$self.$field, $map)?;
        $crate::util::fields::fields!(@each $self $map $($($rest)*)?);
    };
    (@each $self:ident $map:ident $field:ident? $(, $($rest:tt)*)?) => {
        if let Some(value) = &$self.$field {
            $map.serialize_entry(stringify!($field), value)?;
        }
        $crate::util::fields::fields!(@each $self $map $($($rest)*)?);
    };
    (@each $self:ident $map:ident $field:ident $(, $($rest:tt)*)?) => {
        $map.serialize_entry(stringify!($field), &$self.$field)?;
        $crate::util::fields::fields!(@each $self $map $($($rest)*)?);
    };
}
pub(crate) use fields;

#[cfg(test)]
mod tests {
    struct Inner {
        b: u8,
        a: u8,
    }

    struct Outer<'a> {
        z: &'a str,
        inner: Inner,
        other: Option<Inner>,
        maybe: Option<u8>,
        always: Option<u8>,
    }

    fields! { Inner { b, a } }
    fields! { Outer<'a> { z, ..inner, ..other, maybe?, always } }

    #[test]
    fn fields_keep_their_order_and_what_is_absent_is_left_out_where_it_may_be() {
        let mut outer = Outer {
            z: "last",
            inner: Inner { b: 1, a: 2 },
            other: None,
            maybe: None,
            always: None,
        };
        let json = |outer: &Outer<'_>| serde_json::to_string(outer).unwrap();
        assert_eq!(json(&outer), r#"{"z":"last","b":1,"a":2,"always":null}"#);
        outer.other = Some(Inner { b: 3, a: 4 });
        outer.maybe = Some(5);
        assert_eq!(
            json(&outer),
            r#"{"z":"last","b":1,"a":2,"b":3,"a":4,"maybe":5,"always":null}"#
        );
    }
}
