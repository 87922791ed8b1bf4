"""What a tool can do is read from its own words: laws, and a vocabulary that must be understood.

The tools of `TOOLS` are made up: they are what servers of many kinds call such things.  The
figures on real tools are `benchmarks/inference.py`'s.
"""

import dataclasses
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.deployment.cues import ARGUMENTS, CUES, NOUNS, PHRASES, STRONG_VERBS, WEAK_VERBS
from corrigible.deployment.infer import Reading, cues_fired, infer
from corrigible.deployment.listing import ListedTool
from corrigible.drives import VERBS

# name | description | arguments (`x:a,b` has these values) | what it must be | what it must not be
TOOLS = """
post_message | Post a message to a channel | channel_id text | write send irreversible | delete spend
reply_to_thread | Reply in a thread | channel_id thread_ts text | send | delete acquire
get_channel_history | Get recent messages of a channel | channel_id limit | read secrets | send write
list_channels | List the channels of the workspace | cursor | read | write send secrets delete
send_email | Send a new email | to subject body cc | send irreversible | delete spend
draft_email | Draft a new email | to subject body | write | send delete
read_email | Retrieve the content of one email | message_id | read secrets | write send
create_filter | Create an email filter | criteria action | write schedule | delete spend
download_attachment | Download an attachment | id save_path | read copy secrets | delete
schedule_message | Schedule a message for later | channel text post_at | schedule send | delete
create_event | Create an event | start attendees recurrence | write send schedule | delete
create_issue | Create a new issue | title body assignees | write send delegate | delete spend
add_comment | Add a comment to an issue | issue_key body | write send | delete spend
delete_issue | Delete an issue | issue_key | delete irreversible | send spend
search_issues | Search issues | jql limit | read | write delete send
apply | Apply a YAML manifest | manifest namespace | write acquire schedule | delete
get_logs | Get the logs of a pod | name namespace | read secrets | write delete
scale | Scale a deployment | name replicas | write acquire | delete
patch | Update fields of a resource | kind name patch_data | write | send spend
rollout | Manage a rollout | sub_command:history,pause,undo name | write delete | send
exec_in_pod | Execute a command in a pod | name command | run irreversible | spend
install_chart | Install a helm chart | name chart values | write acquire schedule | delete
node_management | Manage nodes | operation:cordon,drain,uncordon name | write delete | send
stop_container | Stop a container | id | delete | send spend
create_container | Create a container | image name command | write run acquire schedule | delete
push_image | Push an image to a registry | repository tag | send copy | delete
prune_images | Remove unused images | | delete | send spend
build_image | Build an image from a Dockerfile | path tag | write | delete spend
create_instance | Launch a virtual machine instance | machine_type zone | spend acquire schedule | delete
make_box | Make a new box | name region size | write | delete
create_box | Create a new box | name region size | write spend acquire schedule | delete
terminate_instances | Terminate instances | instance_ids | delete irreversible | spend
reboot_box | Reboot a box | id | delete | spend send
resize_box | Resize a box | id size | write spend acquire | delete
restore_box | Restore a box from a snapshot | id image_id | write delete irreversible | acquire
enable_backups | Enable backups of a box | id | write schedule spend | delete
create_database | Create a new database | name region plan | write spend acquire | delete
drop_table | Drop a table | table | delete irreversible | send spend
insert_rows | Insert rows into a table | table rows | write | delete send
execute_sql | Execute any SQL query | sql | run write delete read secrets | acquire
query | Run a read-only SQL query | sql | read secrets | run write delete
list_schemas | List all schemas of the database | | read | run write delete secrets
flush | Remove all keys | | delete irreversible | send
get | Get the value of a key | key | read secrets | write delete
set | Set the value of a key | key value expiration | write | delete send
publish | Publish a message to a topic | topic message | send | delete spend
create_access_key | Create an access key for a user | user_name | write acquire | delete
attach_policy | Attach a policy to a role | role policy_arn | write acquire | delete
get_secret_value | Retrieve the value of a secret | secret_id | read secrets | write delete
list_secrets | List secrets | | read secrets | write delete
reset_password | Reset a password | id | write acquire irreversible | delete
invite_user | Invite a user by email | email role | send acquire | delete
share_file | Share a file with somebody | file_id email role | send acquire | delete
create_repository | Create a repository | name private | write acquire | delete send
fork_repository | Fork a repository | owner repo | acquire copy | delete send
trigger_workflow | Trigger a workflow run | workflow_id ref inputs | write delegate | delete
rerun_jobs | Run the failed jobs of a workflow again | run_id | delegate | delete
cancel_workflow_run | Cancel a workflow run | run_id | delete | send
create_webhook | Create a webhook | url events | write schedule send | delete
merge_branch | Merge one branch into another | base head | write | delete send
push | Push changes to a remote repository | remote branch force | send copy | delete spend
manage_tags | List, create or delete tags | mode:list,create,delete name | read write delete | send
create_cron_job | Create a job that runs a command | schedule command | schedule run | delete
create_reminder | Create a reminder | text time | write schedule | delete
create_monitor | Create a monitor | name query | write schedule | delete
disable_rule | Disable an alert rule | rule_id | write delete | spend
run_shell_command | Run a shell command | command | run secrets irreversible | spend
run_python | Execute Python code | code | run write delete send secrets | spend
call_service | Call any service | domain service data | run | spend
kill_process | Terminate a process | pid | delete | send spend
edit_file | Apply replacements to a file | path edits | write irreversible | send delete
search_files | Search files by pattern | path pattern | read | write delete
create_agent | Create an agent with instructions | name instructions | write delegate | delete
spawn_subagent | Spawn a subagent for a task | prompt model | delegate | delete
ask_model | Ask a language model | prompt model | delegate | delete spend
create_refund | Refund a payment | payment amount | spend irreversible | delete
transfer_funds | Transfer funds between accounts | from_account amount | spend | delete acquire
place_order | Place an order | symbol quantity side | spend irreversible | delete
buy_domain | Buy a domain | domain years | spend acquire | delete
make_call | Make an outbound call. It may incur costs. | number | send spend | delete
web_search | Search the web | query count | read send | write delete
fetch | Fetch a URL and return it as markdown | url max_length | read send irreversible | delete
crawl | Crawl a website | url max_pages | read send | delete spend
navigate_page | Navigate the page to a URL | url | send | delete run
click | Click an element of the page | uid | write send | delete
fill_form | Fill the fields of a form | elements | write | delete spend
hover | Hover over an element | uid | | write delete send read
take_screenshot | Take a screenshot of the page | file_path | read copy secrets | delete send
evaluate_script | Evaluate a JavaScript function in the page | function | run secrets send | spend
list_network_requests | List the network requests of the page | | read secrets | write delete
close_page | Close a page | index | delete | send spend
upload_file | Upload a file through an element of the page | uid paths | write send | delete
deploy_function | Deploy an edge function | name files | write schedule | delete
export_database | Export the database to a file | path | copy read secrets | delete
archive_channel | Archive a channel | channel_id | delete | send
rotate_api_key | Rotate an API key | key_id | write acquire | spend
turn_on_light | Turn on a light | entity_id | write | delete spend
save_memory | Save what was learned | content | write | delete send
get_weather | Get the weather of a place | location | read | write delete secrets
"""  # noqa: E501  (a table is read by its columns)
ROWS = [[cell.strip() for cell in line.split("|")] for line in TOOLS.strip().splitlines()]


def made(name, description=None, arguments="", annotations=None):
    properties = {}
    for argument in arguments.split():
        key, _, values = argument.partition(":")
        properties[key] = {"type": "boolean"} if key == "force" else {"type": "string"}
        if values:
            properties[key]["enum"] = values.split(",")
    schema = {"type": "object", "properties": properties}
    return ListedTool(name, None, description, schema, annotations=annotations)


def all_of(reading):
    flags = {flag for flag in ("secrets", "irreversible") if getattr(reading, flag)}
    return {*reading.verbs, *flags}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_vocabulary_of_many_servers_is_understood(row):
    name, description, arguments, must, must_not = row
    found = all_of(infer(made(name, description, arguments)))
    assert set(must.split()) <= found
    assert not set(must_not.split()) & found


@pytest.mark.parametrize(
    "name", ["createIssue", "create-issue", "create_issue", "github.createIssue"]
)
def test_every_way_to_write_a_name_is_read_alike(name):
    assert "write" in infer(made(name), server="github").verbs


def test_a_verb_that_ends_the_name_counts():
    assert infer(made("box-delete")).verbs == ("delete",)


def test_the_servers_own_name_is_not_taken_for_a_verb():
    assert infer(made("post_list_items"), server="post").verbs == ("read",)


def test_what_nothing_is_said_of_is_taken_to_write_and_is_not_sure():
    reading = infer(made("frobnicate"))
    assert (reading.verbs, reading.sure) == (("write",), False)


def test_a_hint_that_contradicts_the_words_makes_it_unsure():
    tool = made("delete_note", annotations={"readOnlyHint": True})
    assert (infer(tool).verbs, infer(tool).sure) == (("delete",), False)


def test_every_reading_says_why():
    for name, description, arguments, must, _ in ROWS:
        if must:
            assert infer(made(name, description, arguments)).reasons


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        ("path content", ("{path}",)),
        ("owner repo path", ("{owner}/{repo}/{path}",)),
        ("source destination", ("{source}", "{destination}")),
        ("database collection filter", ("{database}/{collection}",)),
        ("query limit", ()),
        ("owner repo", ("{owner}/{repo}",)),
    ],
)
def test_targets_are_made_of_the_arguments_that_say_where(arguments, target):
    assert infer(made("update_thing", "Update a thing", arguments)).target == target


def test_amounts_are_read_where_something_is_taken_or_paid():
    assert infer(made("scale", "Scale a deployment", "name replicas")).amount == ("replicas",)
    assert infer(made("read_log", "Read a log", "name size")).amount == ()


# -- laws --------------------------------------------------------------------------------------

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["properties", "enum", "type", "action", "x"]), inner)
    ),
    max_leaves=12,
)
words = st.sampled_from(sorted({*STRONG_VERBS, *WEAK_VERBS, *NOUNS}))
phrases = st.lists(words | st.text(max_size=8), max_size=8).map(" ".join)
any_tool = st.builds(
    ListedTool,
    name=st.lists(words, min_size=1, max_size=4).map("_".join),
    description=st.none() | phrases,
    input_schema=st.dictionaries(st.just("properties"), st.dictionaries(words, junk, max_size=5))
    | st.dictionaries(st.text(max_size=5), junk, max_size=3),
)
hints = st.fixed_dictionaries(
    {},
    optional={
        hint: st.booleans() | st.none() | st.text(max_size=3)
        for hint in ("readOnlyHint", "destructiveHint", "openWorldHint", "idempotentHint")
    },
)


@settings(deadline=None, max_examples=60)
@given(any_tool, hints)
def test_hints_raise_a_reading_and_never_lower_it(tool, annotations):
    bare = infer(dataclasses.replace(tool, annotations=None))
    hinted = infer(dataclasses.replace(tool, annotations=annotations))
    assert all_of(bare) <= all_of(hinted)
    assert bare.sure or not hinted.sure


@settings(deadline=None, max_examples=60)
@given(any_tool)
def test_any_tool_is_read_without_an_error_and_always_alike(tool):
    reading = infer(tool)
    assert reading == infer(tool)
    assert isinstance(reading, Reading)
    assert "advance" not in reading.verbs
    assert list(reading.verbs) == [verb for verb in VERBS if verb in reading.verbs]


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(any_tool)
def test_more_cues_never_take_anything_away(tool):
    some = infer(tool, cues=CUES[::2])
    assert set(some.verbs) - {"write", "delete"} <= set(infer(tool).verbs)


@settings(deadline=None, max_examples=60)
@given(any_tool)
def test_what_runs_spends_or_destroys_cannot_be_undone_or_says_why_not(tool):
    reading = infer(tool)
    if {"run", "spend", "send"} & set(reading.verbs):
        assert reading.irreversible


def test_a_schema_that_is_no_schema_is_read_all_the_same():
    for schema in ({"type": ["string", {}]}, {"enum": {"a": 1}}, [], 7, None):
        tool = ListedTool(
            "get_x", None, "Get x", {"properties": {"path": schema, "action": schema}}
        )
        assert infer(tool).verbs == ("read",)


def test_a_hostile_description_is_read_in_bounded_time():
    began = time.perf_counter()
    for text in (
        "a" * 200_000,
        "run " * 50_000,
        "(" * 100_000,
        "or " * 50_000,
        "https:// " * 9_999,
    ):
        infer(made("x", text))
    assert time.perf_counter() - began < 5


@pytest.mark.slow
def test_four_hundred_tools_are_read_within_a_second():
    tools = [made(*row[:3]) for row in ROWS] * 4
    infer(tools[0])
    began = time.perf_counter()
    for tool in tools[:400]:
        infer(tool)
    assert time.perf_counter() - began < 1


# -- the table ---------------------------------------------------------------------------------


def test_no_row_of_the_table_stands_twice_and_each_says_why():
    assert len({cue.text for cue in CUES}) == len(CUES)
    assert all(len(cue.why) > 10 for cue in CUES)


def test_every_row_speaks_of_classes_that_exist_and_adds_what_a_reading_can_hold():
    verbs = frozenset().union(*STRONG_VERBS.values(), *WEAK_VERBS.values())
    nouns = frozenset().union(*NOUNS.values())
    known = {
        "verb": verbs, "object": nouns, "topic": nouns, "head": nouns,
        "says": PHRASES.keys(), "arg": ARGUMENTS.keys(), "hint": {"destroy"},
    }  # fmt: skip
    for cue in CUES:
        for feature in frozenset().union(cue.bars, *cue.needs):
            where, _, name = feature.partition(":")
            assert name in known[where], cue.text
        assert cue.adds <= {*VERBS, "secrets", "irreversible"} - {"advance"}


def test_every_row_can_fire():
    """A row that no tool of the vocabulary meets is met by one made for it, or is dead."""
    fired = {cue.text for row in ROWS for cue in cues_fired(made(*row[:3]))}
    extra = {cue.text for tool in EXTRA for cue in cues_fired(tool)}
    assert sorted({cue.text for cue in CUES} - fired - extra) == []


EXTRA = [
    made("create_resource", "Create what a YAML manifest says", "resource"),
    made("assign_ticket", "Assign a ticket to a user", "ticket account_id"),
    made("ask_human", "Ask a human for input", "question"),
    made("execute_mutation", "Execute INSERT, UPDATE or DELETE operations", "table data"),
    made("upload_to_bucket", "Upload a file to a bucket", "path bucket"),
    made("update_note", "Update a note", annotations={"destructiveHint": True}),
    made("frob", "Frob. This cannot be undone."),
    made("snapshot_page", "Take a snapshot of the page"),
    made("snapshot_box", "Take a snapshot of a box", "id"),
    made("rename_table", "Rename a table", "name drop_target"),
    made("open_page", "Open a page", "url launch_options"),
    made("write_query", "Execute an INSERT or UPDATE query", "query"),
    made("compute_totals", "Compute totals", "pipeline"),
    made("set_state", "Set the state; emails all members"),
    made("zip_file", "Compress a file from a URL. Returns the data.", "url"),
    made("connect", "Connect to a database", "connection_string"),
    made("transform_image", "Convert a snapshot"),
    made("grow_cluster", "Grow a cluster"),
    made("up", "Apply a plan. It changes infrastructure."),
    made("resolve_issue", "Resolve an issue"),
    made("run_report", "Run a script. It can be scheduled to run every day."),
    made("transfer_box", "Transfer a box", "id region"),
    made("create_image", "Create an image from a URL", "name url"),
    made("get_env", "Return all environment variables"),
    made("get_setup", "Return the setup, passwords included"),
    made("write_note", "Write a note. It overwrites what was there."),
]


def test_the_table_names_no_product():
    words = {*STRONG_VERBS, *WEAK_VERBS, *NOUNS}
    products = {"droplet", "playwright", "github", "gitlab", "slack", "notion", "stripe", "jira"}
    products |= {"kubernetes", "helm", "docker", "postgres", "mongodb", "redis", "sentry"}
    assert not words & products
    assert not any(product in json.dumps([cue.text for cue in CUES]) for product in products)
