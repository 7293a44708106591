//! What SQLite does by itself when a row is deleted that others point to, told to storex.
//!
//! SQLite would delete or change those rows without anybody noticing, and no other device would learn of it. So the same
//! rule is declared in the definition: storex then does it in the batch, before the row itself goes, and it is logged.
//! SQLite finds nothing left to do.

use storex_core::{Definition, OnDelete, Registry};

use super::{Adoption, ForeignKey, ForeignKeyAction};

/// Declares the actions of all foreign keys between adopted tables; notes those that cannot be declared.
pub(super) fn declare(adoption: &mut Adoption) {
    for key in adoption.foreign_keys.clone() {
        let on_delete = match key.on_delete {
            ForeignKeyAction::NoAction | ForeignKeyAction::Restrict => continue,
            ForeignKeyAction::Cascade => Some(OnDelete::Cascade),
            ForeignKeyAction::SetNull => Some(OnDelete::SetNull),
            ForeignKeyAction::SetDefault => None,
        };
        let declared = on_delete.and_then(|on_delete| declared(adoption, &key, on_delete));
        match declared {
            Some((at, definition)) => adoption.definitions[at] = definition,
            None => {
                let text = format!(
                    "points to `{}`, whose deletion changes or deletes its rows: SQLite does that by itself, and it is \
                     not logged",
                    key.target
                );
                adoption.note(Some(&key.table), Some(&key.columns.join(", ")), text);
            }
        }
    }
}

/// The child's definition with the rule, and its place; `None` where a side of it was left out.
fn declared(
    adoption: &Adoption,
    key: &ForeignKey,
    on_delete: OnDelete,
) -> Option<(usize, Definition)> {
    let find = |table: &str| {
        adoption
            .definitions
            .iter()
            .position(|definition| definition.name().eq_ignore_ascii_case(table))
    };
    let (child, target) = (find(&key.table)?, find(&key.target)?);
    let registry = Registry::builder().collections(adoption.definitions.clone()).build().ok()?;
    let names = |at: usize, columns: &[String]| -> Option<Vec<storex_core::Name>> {
        let collection = registry.collection(adoption.definitions[at].name()).ok()?;
        let field = |column: &String| {
            let field =
                collection.fields().iter().find(|field| field.column.eq_ignore_ascii_case(column));
            field.map(|field| field.name.clone())
        };
        columns.iter().map(field).collect()
    };
    let fields = names(child, &key.columns)?;
    let target_fields = names(target, &key.target_columns)?;
    let target = adoption.definitions[target].name().clone();
    let definition =
        adoption.definitions[child].clone().foreign_key(fields, target, target_fields, on_delete);
    let mut all = adoption.definitions.clone();
    all[child] = definition.clone();
    Registry::builder().collections(all).build().ok().map(|_| (child, definition))
}
