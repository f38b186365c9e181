//! Scripts as people write them.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;

fn parse(text: &str) -> Script {
    Script::parse(Path::new("init.sql"), text, "trading_db").unwrap()
}

fn refused(text: &str) -> String {
    let error = Script::parse(Path::new("init.sql"), text, "trading_db").unwrap_err();
    error.to_string()
}

#[test]
fn a_plain_schema_is_one_transaction() {
    let script = parse(
        "\u{feff}-- BEGIN; not this\n/* COMMIT; /* nested; */ BEGIN; */\n\
         CREATE EXTENSION IF NOT EXISTS vector;\ncreate extension \"uuid-ossp\";\n\
         CREATE TABLE t (a text DEFAULT 'BEGIN; it''s', \"COMMIT;\" int);\n\
         INSERT INTO t VALUES (E'\\'; COMMIT;');\n\
         REFRESH MATERIALIZED VIEW CONCURRENTLY m;\n\
         CREATE INDEX ON t (a);",
    );
    assert_eq!(script.apart, [""; 0]);
    assert_eq!(script.extensions, ["vector", "uuid-ossp"]);
    assert_eq!(script.statements, 6);
    assert!(script.text.starts_with("--"));
}

#[test]
fn bodies_of_functions_are_no_transactions() {
    let script = parse(
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $body$ BEGIN; $x$ COMMIT; END; $body$;\n\
         DO $$ BEGIN PERFORM 1; COMMIT; END $$;\n\
         CREATE OR REPLACE FUNCTION g(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE a WHEN 1 THEN 2 END; SELECT 1; END;\n\
         CREATE TABLE t();",
    );
    assert_eq!(script.apart, [""; 0]);
    assert_eq!(script.statements, 4);
}

#[test]
fn rows_in_the_script_are_not_read_as_sql() {
    let script = parse(
        "COPY t (a, b) FROM stdin;\nBEGIN;\t1\n\\\\N COMMIT;\n\\.\nSELECT 1;\nCOPY t TO stdout;\n",
    );
    assert_eq!(script.apart, [""; 0]);
    assert_eq!(script.statements, 3);
}

#[test]
fn what_cannot_be_in_one_transaction_is_named_with_its_line() {
    let script = parse(
        "create table t();\nBEGIN;\n\nselect 1; COMMIT;\ncreate unique index concurrently i on t(a);\nVACUUM;\n\\c trading_db\nSTART TRANSACTION; ROLLBACK TO a;",
    );
    assert_eq!(
        script.apart,
        [
            "line 2: BEGIN is of a transaction of its own",
            "line 4: COMMIT is of a transaction of its own",
            "line 5: CREATE INDEX … CONCURRENTLY cannot run inside a transaction",
            "line 6: VACUUM cannot run inside a transaction",
            "line 7: \\connect begins a new session",
            "line 8: START TRANSACTION is of a transaction of its own",
        ]
    );
}

#[test]
fn a_script_that_leaves_the_database_is_refused() {
    assert_eq!(
        refused("select 1;\n\\connect other_db\n"),
        "init.sql, line 2: \\connect leaves trading_db for other_db"
    );
    assert_eq!(
        refused("create database x;"),
        "init.sql, line 1: CREATE DATABASE"
    );
}

#[test]
fn a_script_that_breaks_off_is_read_to_its_end() {
    for text in [
        "select 'x",
        "/* /*",
        "$$",
        "\"",
        "create table t (",
        "E'\\",
        "\\",
        "$",
        "copy t from stdin;",
        "a$",
    ] {
        parse(text);
    }
}
