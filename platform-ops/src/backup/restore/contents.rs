//! The table of contents of a dump, reduced to what single tables need.

use crate::backup::manifest::Table;

/// Entries of a dump that would tie a table to others, or act by themselves.
const LEFT_OUT: [&str; 9] = [
    "FK CONSTRAINT ",
    "TRIGGER ",
    "EVENT TRIGGER ",
    "TABLE ATTACH ",
    "INDEX ATTACH ",
    "MATERIALIZED VIEW DATA ",
    "PUBLICATION",
    "SUBSCRIPTION",
    "BLOB",
];

/// The entries of a dump's list that make every object and fill only these tables.
pub(super) fn chosen(list: &str, tables: &[Table]) -> String {
    let wanted = |line: &&str| {
        let Some((_, entry)) = line.split_once("; ") else {
            return true;
        };
        // Two numbers, then what it is.
        let what = entry.splitn(3, ' ').nth(2).unwrap_or_default();
        if let Some(rest) = what.strip_prefix("TABLE DATA ") {
            let is = |table: &Table| rest.starts_with(&format!("{} {} ", table.schema, table.name));
            return tables.iter().any(is);
        }
        !LEFT_OUT.iter().any(|left_out| what.starts_with(left_out))
    };
    let lines = list.lines().filter(wanted);
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_made_and_only_what_was_chosen_is_filled() {
        let list = "\
;
; Archive created at 2026-01-02
215; 1259 16386 TABLE app orders owner
220; 1259 16387 TABLE app Odd Name owner
3456; 0 16386 TABLE DATA app orders owner
3457; 0 16387 TABLE DATA app Odd Name owner
3458; 0 0 SEQUENCE SET app orders_id_seq owner
3300; 2606 16400 CONSTRAINT app orders orders_pkey owner
3301; 2606 16401 FK CONSTRAINT app Odd Name Odd Name_id_fkey owner
3302; 2620 16402 TRIGGER app orders audit owner
";
        let orders = Table {
            schema: "app".to_owned(),
            name: "orders".to_owned(),
            rows: 1,
        };
        let kept = chosen(list, &[orders]);
        assert!(
            kept.contains("TABLE DATA app orders") && kept.contains("orders_pkey"),
            "{kept}"
        );
        assert!(
            kept.contains("TABLE app Odd Name") && kept.contains("SEQUENCE SET"),
            "{kept}"
        );
        for out in ["TABLE DATA app Odd", "FK CONSTRAINT", "TRIGGER"] {
            assert!(!kept.contains(out), "{kept}");
        }
    }
}
