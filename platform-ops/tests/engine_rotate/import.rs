//! `secrets import`; no engine is needed, but root is.

use std::os::unix::fs::PermissionsExt;

use crate::host::{Host, Run, access};

fn import(host: &Host, text: &str, more: &[&str]) -> Run {
    Run::fed(
        &mut host.command(&[&["secrets", "import"], more].concat()),
        text,
    )
}

/// T44: what Compose would change is refused, never carried over in another shape.
#[test]
fn t44_secrets_are_imported_as_they_are_or_not_at_all() {
    let host = Host::initialised();
    let before = host.read("config/platform.env");
    let good = "Imported0123456789abcd";
    let mut seen = String::new();
    for (text, words) in [
        ("A_PASSWORD=6432\n", "fewer than 16"),
        ("A_PASSWORD=REPLACE_WITH_A_SECRET\n", "never filled in"),
        (
            "A_PASSWORD=abcdef$HOME#ghijklmnop\n",
            "$ that Compose replaces",
        ),
        (
            &format!("A_PASSWORD={}\n", host.env("REDIS_PASSWORD")),
            "another key's",
        ),
        ("A_PASSWORD='open\n", "line 2"),
    ] {
        let refused = import(&host, &format!("OK_PASSWORD={good}\n{text}"), &["--yes"]);
        assert!(
            [2, 4].contains(&refused.code) && refused.err.contains(words),
            "{text}{}",
            refused.all()
        );
        assert_eq!(host.read("config/platform.env"), before, "{text}");
        seen += &refused.all();
    }
    let text =
        format!("# old\nA_PASSWORD={good}\nB_TOKEN='with$dollar0123456789'\nDB_HOST=postgres\n");
    let dry = import(&host, &text, &["--dry-run", "--json"]).ok();
    assert_eq!(
        dry.json()["steps"][0]["action"]["keys"],
        serde_json::json!(["A_PASSWORD", "B_TOKEN"])
    );
    let done = import(&host, &text, &[]).ok();
    assert!(done.out.contains("DB_HOST"), "{}", done.all());
    assert_eq!(host.env("A_PASSWORD"), good);
    assert_eq!(host.env("B_TOKEN"), "'with$dollar0123456789'");
    assert_eq!(access(&host.path("config/platform.env")), (0o600, 0));
    assert!(import(&host, &text, &[]).ok().out.contains("nothing to do"));
    let other = "A_PASSWORD=Another0123456789abcd\n";
    assert_eq!(import(&host, other, &[]).code, 4, "what is set asks first");
    import(&host, other, &["--yes"]).ok();
    let file = host.path("old.env");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let path = file.display().to_string();
    let open = host.ops(&["secrets", "import", &path, "--yes"]);
    assert!(
        open.code == 4 && open.err.contains("read by others"),
        "{}",
        open.all()
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    host.ops(&["secrets", "import", &path, "--yes"]).ok();
    assert_eq!(host.env("A_PASSWORD"), good);
    seen += &(dry.all() + &done.all() + &host.read("data/platform-ops/audit.jsonl"));
    for value in [
        good,
        "with$dollar",
        "Another0123",
        &host.env("REDIS_PASSWORD"),
    ] {
        assert!(!seen.contains(value), "{value} is shown");
    }
}
