//! From PostgreSQL's types to the types of columns.

use std::collections::HashMap;

use tidegate_model::DataType;
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Client, Error};

use super::decode::Shape;

/// The modifier of a type that has none.
const NO_MODIFIER: i32 = -1;

/// Types that an extension or a user made: the types behind domains, and what
/// arrays are made of. The catalogue can be read by everybody.
const MADE_TYPES: &str = "WITH RECURSIVE bases(oid, base, modifier) AS ( \
      SELECT t.oid, t.oid, -1 FROM pg_catalog.pg_type t WHERE t.oid = ANY ($1::oid[]) \
      UNION ALL \
      SELECT b.oid, t.typbasetype, CASE WHEN b.modifier = -1 THEN t.typtypmod ELSE b.modifier END \
      FROM bases b JOIN pg_catalog.pg_type t ON t.oid = b.base WHERE t.typtype = 'd') \
    SELECT b.oid, b.modifier, t.oid, t.typname::text, t.typtype = 'e', \
      e.oid, e.typname::text, e.typtype = 'e', e.typtype = 'b' \
    FROM bases b JOIN pg_catalog.pg_type t ON t.oid = b.base \
    LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid \
    WHERE t.typtype <> 'd'";

/// Returns the type of a column; `modifier` holds the digits of a numeric.
pub fn data_type(column_type: &Type, modifier: i32) -> DataType {
    of_shape(&Shape::of(column_type), modifier)
}

fn of_shape(shape: &Shape, modifier: i32) -> DataType {
    match shape {
        Shape::Bool => DataType::Boolean,
        Shape::Int2 | Shape::Int4 | Shape::Int8 | Shape::Oid => DataType::Integer,
        Shape::Float4 | Shape::Float8 => DataType::Float,
        Shape::Numeric => numeric(modifier),
        Shape::Money => DataType::DECIMAL,
        Shape::Text | Shape::Padded => DataType::Text,
        Shape::Json | Shape::Jsonb => DataType::Json,
        Shape::Bytea => DataType::Bytes,
        Shape::Timestamptz => DataType::Timestamp,
        Shape::Timestamp => DataType::DateTime,
        Shape::Date => DataType::Date,
        Shape::Time => DataType::Time,
        Shape::Uuid => DataType::Uuid,
        Shape::Array(element) => DataType::List(Box::new(of_shape(element, modifier))),
        Shape::AsText => DataType::Other,
    }
}

/// Source: PostgreSQL `src/backend/utils/adt/numeric.c`, `make_numeric_typmod`:
/// the precision in the upper 16 bits, the scale as a signed number of 11 bits.
fn numeric(modifier: i32) -> DataType {
    let Some(packed) = modifier.checked_sub(4).and_then(|packed| u32::try_from(packed).ok()) else {
        return DataType::DECIMAL;
    };
    let scale = ((packed & 0x7ff) ^ 0x400).cast_signed() - 0x400;
    DataType::Decimal { precision: Some(packed >> 16), scale: Some(scale) }
}

/// The types of many columns, known by their numbers alone.
pub struct Catalogue(HashMap<u32, (Type, i32)>);

impl Catalogue {
    /// Asks for the types among `oids` that are not built in.
    ///
    /// # Errors
    /// If the catalogue cannot be read.
    pub async fn read(client: &Client, oids: impl IntoIterator<Item = u32>) -> Result<Catalogue, Error> {
        let made: Vec<u32> = oids.into_iter().filter(|oid| Type::from_oid(*oid).is_none()).collect();
        let mut types = HashMap::new();
        if made.is_empty() {
            return Ok(Catalogue(types));
        }
        for row in client.query(MADE_TYPES, &[&made]).await? {
            let (oid, modifier, base): (u32, i32, u32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let made = |oid, name, kind| Type::new(name, oid, kind, String::new());
            let column_type = match Type::from_oid(base) {
                Some(built_in) => built_in,
                None => {
                    let (name, is_enum): (String, bool) = (row.try_get(3)?, row.try_get(4)?);
                    let element: Option<u32> = row.try_get(5)?;
                    let kind = match element {
                        Some(element) => {
                            let (name, is_enum): (String, bool) = (row.try_get(6)?, row.try_get(7)?);
                            Kind::Array(made(element, name, kind_of(is_enum, row.try_get(8)?)))
                        }
                        None => kind_of(is_enum, true),
                    };
                    made(base, name, kind)
                }
            };
            types.insert(oid, (column_type, modifier));
        }
        Ok(Catalogue(types))
    }

    /// Returns the type of a column.
    pub fn data_type(&self, oid: u32, modifier: i32) -> DataType {
        match (Type::from_oid(oid), self.0.get(&oid)) {
            (Some(built_in), _) => data_type(&built_in, modifier),
            (None, Some((made, own))) => data_type(made, if *own == NO_MODIFIER { modifier } else { *own }),
            (None, None) => DataType::Other,
        }
    }
}

/// Enumerations are told apart, and composite types from simple ones.
fn kind_of(is_enum: bool, is_simple: bool) -> Kind {
    match (is_enum, is_simple) {
        (true, _) => Kind::Enum(Vec::new()),
        (false, true) => Kind::Simple,
        (false, false) => Kind::Composite(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_tells_its_digits() {
        let modifier = |precision: i32, scale: i32| (precision << 16 | (scale & 0x7ff)) + 4;
        for (precision, scale) in [(38, 0), (9, 2), (3, -5), (1000, 1000), (1000, -1000)] {
            let shown = DataType::Decimal { precision: precision.try_into().ok(), scale: Some(scale) };
            assert_eq!(data_type(&Type::NUMERIC, modifier(precision, scale)), shown);
        }
        assert_eq!(data_type(&Type::NUMERIC, NO_MODIFIER), DataType::DECIMAL);
    }

    #[test]
    fn an_array_says_what_it_holds_if_it_becomes_json() {
        let list = |of| DataType::List(Box::new(of));
        assert_eq!(data_type(&Type::INT4_ARRAY, NO_MODIFIER), list(DataType::Integer));
        assert_eq!(data_type(&Type::TIMESTAMPTZ_ARRAY, NO_MODIFIER), list(DataType::Timestamp));
        assert_eq!(data_type(&Type::INET_ARRAY, NO_MODIFIER), DataType::Other);
        assert_eq!(data_type(&Type::INTERVAL, NO_MODIFIER), DataType::Other);
    }
}
