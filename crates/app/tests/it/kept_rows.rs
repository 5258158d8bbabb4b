//! What is kept of failed rows, and sent again.

use crate::support::Project;

const YAML: &str = "\
connections:
  drops: { type: files, path: drops }
  own: { type: profiles }
syncs:
  people:
    source: { connection: drops, path: \"*.jsonl\" }
    destination: { connection: own, object: user }
    mapping: { external_id: input }
";

#[test]
fn a_broken_line_of_a_file_whose_column_is_named_input_is_not_sent_as_its_value() {
    let project = Project::new(YAML);
    project.write("drops/people.jsonl", "{\"input\":\"ada\"}\n{\"input\": tru\n");
    let run = project.run("people");
    assert_eq!((&run["counts"]["delivered"], &run["counts"]["rejected"]), (&1.into(), &1.into()), "{run:#}");
    let kept = &project.rows(&["--open"])[0]["row"];
    assert_eq!(kept["input"], "{\"input\": tru", "{kept:#}");

    let retried = project.json(&["retry", "people"]);
    assert_eq!((&retried["run"].is_null(), &retried["malformed"]), (&true, &1.into()), "{retried:#}");
    assert_eq!(project.json(&["status"])[0]["failed_rows"], 1);
}
