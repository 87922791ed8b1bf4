"""What is no tool call is decided as a call of a tool that has the method's name (attack 4)."""

import logging

import anyio
import mcp_types
import pytest
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from proxy_fakes import ERAS, house, toy_spec

pytestmark = pytest.mark.slow

URI = "corrigible://new/toy://a"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    log = tmp_path_factory.mktemp("proxy") / "log"
    log.write_text("")
    with house([toy_spec("new", log), toy_spec("old", log, era="legacy")], log) as built:
        yield built


@pytest.fixture(params=ERAS)
def era(request):
    return request.param


REQUESTS = {
    "resources/list": lambda c: c.list_resources(),
    "resources/read": lambda c: c.read_resource(URI),
    "prompts/list": lambda c: c.list_prompts(),
    "prompts/get": lambda c: c.get_prompt("new__hello"),
    "completion/complete": lambda c: c.complete(
        mcp_types.ResourceTemplateReference(uri=URI), {"name": "a", "value": "b"}
    ),
}


@pytest.mark.parametrize("method", REQUESTS)
def test_a_method_without_an_entry_is_refused_and_never_leaves(kept, era, method):
    kept.fresh(go={"new.echo"})

    async def asked(client):
        with pytest.raises(MCPError) as caught:
            await REQUESTS[method](client)
        return caught.value.error

    error = kept.within(era, asked)
    assert error.data["corrigible"]["state"] == "denied"
    assert kept.did() == []
    if method != "prompts/get":  # a prompt that was not listed has no server to be decided for
        assert "denied" in kept.gate.tried(f"new.{method}")


def test_nothing_is_announced_that_the_manifest_has_no_entry_for(kept, era):
    kept.fresh(go={"new.echo"})

    async def announced(client):
        return client.server_capabilities.model_dump(exclude_none=True)

    assert kept.within(era, announced) == {"tools": {"list_changed": True}}
    kept.fresh(go={"new.resources/list", "new.prompts/list", "new.completion/complete"})
    assert kept.within(era, announced).keys() == {"tools", "resources", "prompts", "completions"}


def test_resources_of_all_servers_are_listed_with_their_server(kept, era):
    kept.fresh(go={"new.resources/list", "old.resources/list"})

    async def listed(client):
        return {str(one.uri): one.name for one in (await client.list_resources()).resources}

    assert kept.within(era, listed) == {
        "corrigible://new/toy://a": "a\\u200b",
        "corrigible://new/file:///etc/x": "x",
        "corrigible://old/toy://a": "a\\u200b",
        "corrigible://old/file:///etc/x": "x",
    }


def test_an_allowed_resource_is_read_from_its_own_server(kept, era):
    kept.fresh(go={"new.resources/read", "old.resources/read"})

    async def read(client):
        (content,) = (await client.read_resource("corrigible://old/toy://a")).contents
        return content.text, str(content.uri)

    assert kept.within(era, read) == ("text of toy://a", "corrigible://old/toy://a")
    assert kept.did() == ["old read toy://a"]
    assert kept.gate.admitted[-1][2] == {"uri": "toy://a"}


@pytest.mark.parametrize("uri", ["toy://a", "corrigible://New/toy://a", "corrigible://no/toy://a"])
def test_an_address_that_was_not_given_out_reads_nothing(kept, era, uri):
    kept.fresh(go={"new.resources/read"})

    async def read(client):
        with pytest.raises(MCPError):
            await client.read_resource(uri)

    kept.within(era, read)
    assert kept.did() == []


def test_a_prompt_is_had_by_the_name_that_was_listed(kept, era):
    kept.fresh(go={"new.prompts/list", "new.prompts/get"})

    async def had(client):
        (prompt,) = (await client.list_prompts()).prompts
        got = await client.get_prompt(prompt.name)
        return prompt.name, got.messages[0].content.text

    assert kept.within(era, had) == ("new__hello", "hello from new")
    assert kept.gate.admitted[-1][:3] == ("new.prompts/get", "go", {"name": "hello"})


def test_completion_goes_where_its_reference_is_of(kept, era):
    kept.fresh(go={"new.completion/complete"})

    async def completed(client):
        return (await REQUESTS["completion/complete"](client)).completion.values

    assert kept.within(era, completed) == ["one"]
    assert kept.gate.admitted[-1][2]["ref"] == {"type": "ref/resource", "uri": "toy://a"}


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
def test_subscribing_and_the_level_of_logs_are_refused_like_all_else(kept):
    kept.fresh(go={"new.echo"})
    assert MCPDeprecationWarning

    async def asked(client):
        with pytest.raises(MCPError):
            await client.session.subscribe_resource(URI)
        with pytest.raises(MCPError):
            await client.session.set_logging_level("debug")

    kept.within("legacy", asked)
    assert kept.gate.tried("new.resources/subscribe") == ["denied"]
    assert kept.gate.tried("old.logging/setLevel") == ["denied"]


def test_what_a_client_may_hear_of_is_what_the_manifest_allows(kept):
    kept.fresh(go={"new.echo"})

    async def listened(client):
        async with client.listen(
            tools_list_changed=True, prompts_list_changed=True, resource_subscriptions=[URI]
        ) as heard:
            return heard.honored

    honored = kept.within("auto", listened)
    assert honored.tools_list_changed
    assert honored.prompts_list_changed is None
    assert not honored.resource_subscriptions
    assert kept.gate.tried("new.resources/subscribe") == ["denied"]


@pytest.mark.parametrize(("go", "heard"), [(set(), []), ({"old.notifications/message"}, ["yes"])])
def test_a_servers_notifications_pass_only_with_an_entry(kept, caplog, go, heard):
    kept.fresh(go=go)
    caplog.set_level(logging.INFO)
    found = []

    async def note(params):
        found.append((params.logger, params.data))

    async def told(client):
        back = kept.hub.backs["old"]
        body = {"level": "info", "data": "yes\u200b", "logger": "x"}
        await client.list_tools()  # by then the connection is known
        await kept.hub.told(back, "notifications/message", body)
        with anyio.move_on_after(60 if heard else 0.3):
            while not found:  # noqa: ASYNC110  (a callback has no event here)
                await anyio.sleep(0.01)

    kept.within("legacy", told, logging_callback=note)
    assert found == [("old/x", "yes\\u200b") for _ in heard]
