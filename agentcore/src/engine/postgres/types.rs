//! Values of columns and parameters.

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::error::BoxError;

/// A UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) u128);

impl<'a> FromSql<'a> for Number {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, BoxError> {
        Ok(Self(u128::from_be_bytes(bytes.try_into()?)))
    }

    accepts!(UUID);
}

impl ToSql for Number {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.put_u128(self.0);
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

/// The version of the binary form of `jsonb`, which is its text.
const JSONB_VERSION: u8 = 1;

/// The text of a JSON value.
#[derive(Debug)]
pub(super) struct JsonText<T>(pub(super) T);

impl<'a> FromSql<'a> for JsonText<String> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, BoxError> {
        match bytes {
            [JSONB_VERSION, text @ ..] => Ok(Self(std::str::from_utf8(text)?.to_owned())),
            _ => Err("an unknown version of jsonb".into()),
        }
    }

    accepts!(JSONB);
}

impl<T: AsRef<str> + std::fmt::Debug> ToSql for JsonText<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.put_u8(JSONB_VERSION);
        out.put_slice(self.0.as_ref().as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSONB);
    to_sql_checked!();
}
