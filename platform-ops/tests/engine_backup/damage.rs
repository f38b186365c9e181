//! Whatever is changed in a store is found.

use crate::setup::{Platform, files, flip};

/// T03, T04: a flipped byte anywhere, a cut or missing file: `verify` finds each.
#[test]
fn t03_t04_a_flipped_byte_or_a_cut_in_any_object_is_found() {
    let platform = Platform::new();
    platform.create(&[]);
    let all = files(&platform.store());
    assert!(all.len() >= 10, "{all:?}");
    for (path, length) in &all {
        let whole = std::fs::read(path).unwrap();
        for offset in [0, length / 2, length - 1] {
            flip(path, offset);
            let run = platform.ops(&["backup", "verify", "latest"]);
            let damaged = matches!(run.code, 10 | 12);
            assert!(damaged, "{} at {offset}: {}", path.display(), run.all());
            std::fs::write(path, &whole).unwrap();
        }
    }
    let dump = all
        .iter()
        .find(|(path, _)| path.ends_with("database/trading_db.pgdump.age"))
        .unwrap();
    let whole = std::fs::read(&dump.0).unwrap();
    std::fs::write(&dump.0, &whole[..whole.len() / 2]).unwrap();
    let run = platform.ops(&["backup", "verify", "latest"]);
    assert_eq!(run.code, 12, "{}", run.all());
    std::fs::remove_file(&dump.0).unwrap();
    let run = platform.ops(&["backup", "verify", "latest"]);
    assert_eq!(run.code, 12, "{}", run.all());
    assert!(run.out.contains("missing"), "{}", run.all());
    std::fs::write(&dump.0, &whole).unwrap();
    platform.ops(&["backup", "verify", "latest"]).ok();
}

/// T26: a damaged set touches nothing, neither in a drill nor in a restore.
#[test]
fn a_damaged_set_is_refused_before_anything_is_touched() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let before = platform.content("trading_db");
    let all = files(&platform.store());
    let dump = all
        .iter()
        .find(|(path, _)| path.ends_with("database/trading_db.pgdump.age"))
        .unwrap();
    flip(&dump.0, dump.1 / 2);
    let key = platform.key_argument();
    let databases = "select string_agg(datname, ',' order by 1) from pg_database";
    let there = platform.ask("postgres", databases);
    let arguments = [
        "restore",
        "database",
        "trading_db",
        "--identity",
        &key,
        "--confirm",
        "trading_db",
    ];
    let run = platform.ops(&arguments);
    assert_eq!(run.code, 12, "{}", run.all());
    assert_eq!(platform.ask("postgres", databases), there);
    assert_eq!(platform.content("trading_db"), before);
    let run = platform.ops(&["backup", "drill", "latest", "--identity", &key]);
    assert_eq!(run.code, 12, "{}", run.all());
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    assert_eq!(list["sets"][0]["proven"], false);
}
