"""The table of cues: which words, arguments and hints of a tool mean which verbs, and why.

Everything that inference knows is data in this file.  `WORDS` sorts words into classes;
`PHRASES` and `ARGUMENTS` do the same for what a description says and for what arguments are
called; each row of `CUES` says what some of those classes, met together, add to a reading.
No row names a server or a tool: they speak of verbs, of what is acted on and of schemas.

Classes of words, by where they are looked for:

    verb:X     the tool's own action: the verb of its name, the verb that its description
               starts with, or a value that its `action`-like argument may have
    object:X   the other words of its name, and the direct object in its first sentence
    topic:X    any word of its name or its first sentence
    says:X     a phrase anywhere in its description
    arg:X      what an argument is called
    hint:X     an annotation (only those that raise risk are read)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

# `~word`: a noun as often as a verb.  It counts as a verb only where it leads or ends the name and
# the description starts with no plainer verb, or where it starts the description itself.
_VERB_WORDS = """
look      get list read show search find view describe fetch lookup inspect browse retrieve
          return print display grep tail head analyze analyse explain summarize compare diff poll
          verify validate peek scan examine preview capture see obtain extract discover identify
          enumerate audit trace check ~load aggregate export review wait monitor observe listen watch
          download crawl scrape recall query observe ping research investigate diagnose debug parse
          ~map ~count ~status ~info ~history ~tree ~stat
          ~ls ~cat ~top ~events ~logs ~log ~whoami ~me ~stats ~schema ~details ~detail ~metadata
          ~screenshot ~whois ~blame ~resolve ~profile ~test ~statistics ~report ~quote ~forecast
          ~directions ~geocode ~recommendations ~tabs ~pages ~values ~usage ~dump
          ~ask ~consult ~insights ~results ~health ~describe ~select ~exists ~has ~is ~select
          ~keys ~hgetall ~hget ~mget ~lrange ~smembers ~zrange ~xrange ~scan ~ps ~ll ~du ~df ~env
          ~inventory ~feed ~timeline ~plan ~lint ~doctor ~outline ~balance ~snapshots ~probe
contents  read fetch show open view dump extract capture download find search query aggregate
          recall scrape crawl tail cat retrieve get return export diff grep head review
          ~blame ~screenshot ~logs ~log ~hgetall ~hget ~mget ~lrange ~smembers ~zrange ~xrange
          ~dump ~env ~feed ~timeline ~peek ~preview ~history
create    create add make insert append generate initialize init provision register put upload
          compose introduce store save record define declare establish submit upsert duplicate
          mkdir prepend publish import enroll instantiate allocate seed ~new ~draft ~note
          ~remember ~build ~backup ~post ~comment ~reply ~annotate ~order
          ~book ~mint ~fork ~write ~memorize ~learn ~trace ~pull ~pin
change    update edit modify set change patch rename move replace reset configure enable disable
          toggle assign unassign label sync merge rebase checkout switch restore revert unstage
          attach detach link unlink lock unlock unpin alter resize adjust extend reorder mount
          unmount untag taint untaint cordon uncordon apply migrate rotate refactor reassign
          promote demote rollback undo redo increment decrement bump downgrade reconfigure
          rewrite rebuild reindex tune renew resume unarchive reopen archive mute unmute hide
          unhide unsubscribe stage install upgrade hset hmset mset setex lpush rpush sadd zadd xadd
          incr decr expire persist stash cherry scale bind unbind record handle accept dismiss
          power swap correct write overwrite transfer subscribe override vote approve complete
          transition adopt mark relocate rollout commit push redeploy activate reinstall
          ~add ~tag ~branch ~pin ~queue ~ignore ~block ~snooze ~unfollow ~like
          ~unlike ~unstar ~start ~release ~deploy ~restart ~triage ~upgrade ~amend ~triage
          ~comment ~reply ~star ~follow ~react ~clone ~flag ~cd ~defer ~split ~join ~copy ~format ~import
remove    delete remove destroy purge clear truncate erase wipe uninstall unregister unpublish
          flush discard rm prune clean cleanup deprovision decommission del rmdir expunge forget
          flushall flushdb hdel zrem srem lpop rpop unset deregister empty dequeue evict drop
          trash ~unlink
halt      stop kill terminate shutdown poweroff reboot restart suspend pause cancel abort close
          quit exit disconnect halt drain deactivate revoke ban kick archive interrupt void
          unschedule disable logout redeploy scaledown unsubscribe deny reject ~end ~block ~leave
          ~expire
wreck     rebuild restore reformat reinstall reimage
shoot     ~snapshot ~snap
transform convert transform compress render encode decode minify ~zip ~gzip ~translate
calc      calculate compute measure translate echo evaluate_expression solve simulate demonstrate
          ~think ~sum
run       run execute exec eval evaluate invoke script shell bash python
          ~call ~command ~terminal ~code ~playbook ~compile ~build ~interpreter ~repl
send      send email notify reply forward broadcast invite tweet dm publish navigate goto visit
          respond announce upload submit nudge ~message ~sms ~alert
          ~post ~share ~comment ~fax ~mention ~deliver ~webhook ~emit ~request ~http ~curl
          ~contact ~mail
push      push
gesture   click type press tap submit key handle accept dismiss upload drop tap dblclick
input     click type press fill tap drop upload select check drag key choose paste
point     hover resize emulate scroll focus zoom highlight goback goforward select
speak     post comment reply respond message notify mention announce share publish add create update
          close review
buy       buy purchase pay order charge donate bid refund payout withdraw rent lease topup invest
          borrow bet redeem rebuy resubscribe book reserve ~tip ~trade ~sell
gain      acquire provision allocate reserve claim obtain mint scale increase expand enlarge
          extend resize grow upscale lease rent upgrade fork
grant     grant authorize authorise promote elevate impersonate assume login authenticate signin
          permit empower enroll join add create issue rotate generate reset register invite
          refresh ~mint ~request
entitle   grant set update share attach bind put assign modify change edit patch apply
connect   connect login authenticate signin open_connection
timed     schedule automate defer enqueue repeat recur postpone snooze reschedule subscribe
          ~cron ~remind ~reminder ~timer ~alarm ~watch ~delay
enlist    delegate dispatch spawn handoff hire orchestrate summon recruit assign trigger rerun retry
          start run invoke request execute ~ask ~consult ~sample ~sampling ~launch ~resume
copy      copy clone fork duplicate export replicate mirror dump download exfiltrate sync compress
          ~backup ~zip ~gzip ~pdf ~pull
move      move transfer migrate relocate
enable    enable activate install deploy toggle add set configure register
launch    launch deploy run spawn install apply create up rollout ~start
deploying deploy redeploy rollout
drafting  draft
settle    resolve close
study     analyze analyse diagnose investigate research ask consult review plan debug
rows      query read export dump select aggregate scan
about     explain validate lint parse format describe verify
end       terminate destroy
assign    assign reassign
upload    upload
"""  # noqa: E501  (a table is read by its columns)

_NOUNS = """
hosted    instance vm machine server cluster gpu host nodepool hypervisor compute
          desktop vps supercomputer infrastructure
workload  container pod deployment job replica statefulset daemonset lambda service chart
          stack release worker replicaset autoscaler autoscaling process daemon
          sandbox cronjob
storage   volume disk bucket database db warehouse snapshot image backup
kept      snapshot backup
billable  database bucket volume disk loadbalancer ip domain license seat certificate cdn
          warehouse backup cluster vm snapshot image zone reservation gateway
holding   repository repo project account domain organization mailbox inbox tenant bucket phone
          wallet site workspace
work      task ticket issue story bug incident case card todo item pullrequest
standing  backup autoscaler autoscaling schedule cron trigger webhook automation rule monitor
          alert alarm reminder workflow timer cronjob hook listener watcher recurrence daemon
          logging updates monitoring notifications replication subscriber subscription
          watch filter autopilot forwarding responder autoresponder autoreply
credential password passphrase credential token apikey secret certificate cert dsn ssh oauth vault
          kubeconfig pat kms keypair keystore
issued    password passphrase credential token apikey certificate cert dsn ssh oauth kubeconfig pat
          keypair card
rights    role permission access collaborator policy acl membership privilege iam rbac scope
          clusterrole rolebinding ownership member usergroup
accounts  user member admin owner account teammate collaborator group serviceaccount participant
people    user member person people contact recipient customer channel team attendee guest
          participant follower subscriber assignee reviewer lead client everyone
message   message email mail sms tweet reply notification invite invitation announcement dm
          newsletter fax thread chat conversation comment review response pullrequest issue ticket
          discussion call voicemail reaction status campaign page_comment
letters   record row entry message email mail inbox thread chat conversation transcript history sms voicemail dm
          reply
meeting   event meeting appointment invitation
money     payment order charge refund payout transfer purchase trade paymentintent checkout
          deposit withdrawal bid booking reservation fund money crypto
mind      agent assistant subagent bot copilot llm autopilot persona
agent     agent assistant subagent bot copilot llm sampling autopilot crew reviewer pipeline
          workflow dag playbook automation runner build
page      page tab browser element window dialog form keyboard mouse dropdown viewport webpage
          screen dom
traffic   network console har cookie clipboard localstorage
file      file attachment media blob
body      content text body html markdown diff change transcript source code snippet patch
          difference differences changes diffs raw
private   message email mail inbox thread chat conversation note memory graph entity relation
          observation document record row page screenshot console network request clipboard
          cookie table history env environment configuration variable configmap vault
          secret token password credential kubeconfig attachment transcript contact
          customer invoice log trace dump file block comment dsn node payment profile
          config data source item content value key hash json vector collection query child
          children calendar event meeting worklog patient order
meta      info metadata schema tree list directory directories listing status size count stats stat
          statistic index version capability time timezone region permission name type database
          branch tag tool allowed usage plan policy commit kernel engine health description help
          documentation doc docs docset format resource api catalog location number
"""  # noqa: E501  (a table is read by its columns)

_PHRASES = {
    "code": r"\barbitrary (?:java ?script|code|sql|command|python|shell|script)|\brce\b"
    r"|\b(?:execut|evaluat|run)\w* "
    r"(?:an? |the |any |some |raw |custom |arbitrary |given |provided )*"
    r"(?:\w+ )?(?:java ?script|code|snippet|script|shell|bash|commands?|python|program)\b",
    "sql": r"\b(?:sql|cypher|graphql|sparql|cql|psql|mysql|t-sql|plsql)\b",
    "select": r"\bselect (?:quer|statement)\w*|\bread[- ]only\b",
    "mutating": r"\b(?:insert|update|delete|drop)\b[^.]{0,30}\b(?:update|delete|drop|quer\w+|"
    r"statement)s?\b",
    "overwrites": r"\boverwrit|\breplac\w+ (?:the )?(?:existing|entire|whole|contents?)",
    "forever": r"\birrevers|\bpermanent|\bcannot be (?:undone|recovered|restored|reversed)"
    r"|\bcan't be undone|\bno undo\b",
    "cost": r"\b(?:incurs?|billed|charged|billable)\b|\bcosts? (?:money|credits?)"
    r"|\bpaid (?:api|plan)",
    "credential": r"\b(?:password|credential|api key|access token|secret key|private key|ssh key|"
    r"connection string|auth token)s?\b",
    "environment": r"\benvironment variables?\b",
    "saves-file": r"\b(?:sav|writ|export|stor|download)\w* (?:\w+ ){0,4}(?:to|as|into) "
    r"(?:an? |the )?(?:\w+ )?(?:files?|disk|path|directory)\b",
    "fetches-url": r"\b(?:fetch|download|load|open|navigat|request|scrap|crawl)\w* "
    r"(?:\w+ ){0,4}(?:urls?|web ?pages?|websites?|internet)\b|\bfrom (?:an? )?urls?\b",
    "searches-web": r"\b(?:web|internet|google|bing) search|\bsearch\w* (?:the )?(?:web|internet)",
    "remote": r"\bremotes?\b|\bregistry\b",
    "notifies": r"\b(?:notif(?:y|ies)|emails?|alerts?|pings?|mentions?) (?:\w+ ){0,3}"
    r"(?:users?|members?|people|recipients?|assignees?|reviewers?|channel|team|everyone)",
    "agent": r"\b(?:ai|coding|language|autonomous) ?(?:model|agent|assistant)s?\b"
    r"|\bsub-?agents?\b|\ban agent\b|\bcopilot\b|\bllm\b|\bai[- ]powered\b",
    "later": r"\b(?:recurring|periodic\w*|cron\b|at a later|every (?:day|hour|minute|week)|"
    r"scheduled? (?:for|at|to run)|repeatedly)",
    "infrastructure": r"\binfrastructure\b|\bcloud resources?\b",
    "manifest": r"\b(?:yaml|manifests?)\b",
    "asks-person": r"\bask\w* (?:an? |the )?(?:human|user|person|operator|people)\b",
    "returns": r"\breturn(?:s|ed|ing)? (?:\w+ ){0,3}(?:data|content|contents|file|resource|result)",
}

_ARGUMENTS = {
    "save-path": r"output (?:path|file|file path|dir|directory)|save (?:path|as|to|dir)|"
    r"out(?:file|dir)?|download (?:path|dir|directory)|destination (?:path|file)|export path",
    "file-name": r"filename|file name|(?:\w+ )?file path|local path",
    "url": r"(?:.* )?(?:url|href|endpoint|webhook)s?",
    "code": r"(?:.* )?(?:code|script|java ?script|program|snippet)|expression|function|js|py|"
    r"notebook",
    "command": r"(?:.* )?(?:command|cmd|commands|shell|argv)",
    "danger": r"(?:.* )?(?:dangerous(?:ly .*)?|unsafe)|launch (?:options|args)|executable path|"
    r"(?:extra|additional) args|no sandbox",
    "sql": r"sql|statement|(?:sql )?query(?: sql)?|sql statement",
    "pipeline": r"pipeline|aggregation|stages",
    "manifest": r"manifest|yaml|template(?: body| url)?|chart|stack|compose(?: yaml)?|crd|"
    r"resource definition",
    "recipient": r"to|cc|bcc|recipients?|emails?|email address(?:es)?|channel(?: id| name)?|"
    r"chat id|phone(?: number)?|user ids?|attendees?(?: emails?)?|invitees|guests|mentions?|"
    r"thread (?:ts|id)",
    "attendee": r"attendees?(?: emails?)?|invitees|guests|participants",
    "assignee": r"(?:assignees?|reviewers?|team reviewers|assigned to|delegate)(?: (?:ids?|names?|"
    r"emails?|account ids?))?",
    "body": r"body|message|text|content|comment|subject|html|markdown|payload|rich text|edits|"
    r"(?:prompt|comment|message|note) ?(?:text|body)|data|update|updates|new content",
    "file-sent": r"paths?|files?|file paths?|attachments?|data|media|image",
    "versioned": r"branch|sha|commit message|commit title",
    "amount": r"(?:.* )?(?:amount|quantity|qty|replicas?|units?|budget|seats?|instances|shards|"
    r"gpus?|vcpus?|capacity|bid|cents|min size|max size|desired (?:capacity|count|size)|"
    r"(?:node|instance|replica|worker|machine|server) count|size gb|disk size|"
    r"storage (?:size|gb)|memory (?:mb|gb)|nodes)",
    "size": r"(?:instance |machine |vm |node |server |disk |db |plan )?(?:size|sku|tier|plan|"
    r"flavor|flavour)|(?:instance|machine|vm|node|server) (?:type|class)|slug size|size slug",
    "region": r"region|zone|availability zone|datacenter|data center|data region",
    "viewport": r"width|height|x|y|device|viewport",
    "drops": r"drop .*|purge(?: .*)?|hard|cascade|wipe|delete .*|remove .*|prune",
    "force": r"force(?: .*)?|overwrite|replace existing",
    "role": r"(?:.* )?(?:roles?|permissions?|access(?: level)?|privileges?|scopes?|grants?|acl)",
    "connection": r"connection (?:string|url|uri)|dsn|database url",
    "cron": r"schedule|cron(?: expression)?|run at|send at|post at|remind at|recurrence|rrule|"
    r"scheduled (?:at|time|for)|publish at",
    "agent": r"agent(?: id| name| type)?|sub ?agent(?: type)?|model|assistant(?: id)?|max tokens|"
    r"workflow(?: id| name)?",
    "prompt": r"prompt|instructions?|task|problem statement",
}

# Each row: what must be met together (`!` for not, `|` for or); what it adds; why.
_CUES = """
verb:look                                                                       read  its action returns what the system holds
verb:contents object:body|file|private !object:meta                             read  it hands over content
verb:shoot topic:page                                                           read secrets  a picture of a page shows what its user may see
verb:create                                                                     write  what it makes stays
verb:change                                                                     write  its action changes what persists
verb:remove !topic:page                                                         delete irreversible  its action destroys
verb:remove !verb:gesture                                                       delete irreversible  its action destroys
verb:halt                                                                       delete  its action ends what was running or in force
verb:end object:hosted                                                          irreversible  what was on the machine goes with it
verb:wreck                                                                      write delete irreversible  putting an old or an empty state back destroys the present one
arg:drops verb:create|change|move|halt                                          delete irreversible  an argument makes it destroy something too
arg:force verb:change|create|push                                               irreversible  an argument makes it go over what was there
verb:run !says:select                                                           run irreversible  it executes what the caller supplies
arg:code !verb:create|change|look|input|calc                                    run irreversible  an argument holds code
arg:code verb:run                                                               run read write delete send secrets irreversible  code that it is given does whatever it likes
arg:command verb:run                                                            run read write delete send secrets irreversible  a command that it is given does whatever it likes
arg:command !verb:look                                                          run irreversible  an argument holds a command line
arg:danger                                                                      run irreversible  an argument says what to start, or lifts a safeguard
says:code                                                                       run irreversible  its description says that it executes what it is given
says:mutating verb:run                                                          write delete run irreversible  what it executes may insert, update and delete
says:mutating arg:sql                                                           write delete run irreversible  the statements that it is given may insert, update and delete
arg:sql says:sql verb:run !says:select|mutating                                 read write delete run secrets irreversible  it executes any statement
arg:sql says:sql verb:look|run !says:mutating !verb:about                       read secrets  it returns what the statement asks for
arg:pipeline                                                                    read write run secrets irreversible  a pipeline computes what it likes, and a stage of it may write
says:manifest verb:create|launch !verb:look                                     write acquire schedule irreversible  what is applied may create anything, and goes on running
arg:manifest verb:create|change|launch                                          acquire schedule irreversible  what is applied may create anything, and goes on running
verb:send                                                                       send irreversible  what it is given goes out, and what went out does not come back
verb:push says:remote                                                           send copy irreversible  what is pushed to a remote leaves this place
verb:speak object:message                                                       write send irreversible  it speaks to people
verb:create head:message !verb:drafting                                         write send irreversible  a message that is made reaches somebody
verb:create|change object:meeting arg:attendee                                  write send irreversible  those who are invited hear of it
arg:recipient arg:body verb:create|send|change !verb:drafting                   send irreversible  text goes to a recipient
says:notifies !verb:look                                                        send irreversible  its description says that people hear of it
arg:url verb:look|contents                                                      read send irreversible  an address that the caller chooses can carry data out
arg:url verb:copy|transform                                                     read send copy irreversible  what stands at an address comes to stand here too
arg:url verb:create|change|run|input|push                                       send irreversible  it contacts an address that the caller chooses
says:fetches-url !verb:point                                                    send irreversible  it contacts addresses outside
says:searches-web                                                               send irreversible  what it is asked goes to a search engine outside
verb:gesture topic:page                                                         write send irreversible  acting on a page sends what the page is made to send
verb:input topic:page                                                           write  filling in a page changes it
arg:connection                                                                  send acquire irreversible  it connects to where the caller says, with what rights that gives
verb:connect                                                                    acquire send irreversible  access comes of it
verb:buy                                                                        spend irreversible  its action costs money
verb:create|move|send object:money                                              write spend irreversible  what it makes moves money
says:cost !verb:look                                                            spend irreversible  its description speaks of cost
verb:create|launch head:hosted                                                  write spend acquire schedule irreversible  a machine that is made runs, and is paid for, until somebody ends it
verb:create|launch head:workload                                                write acquire schedule  what it starts goes on running
verb:create arg:region arg:size                                                 write spend acquire schedule irreversible  what is made in a region and a size is rented
verb:create head:billable arg:region                                            spend irreversible  what is made in a region is rented
verb:copy|create|transform topic:kept !topic:page !verb:change|look             write spend irreversible  what a provider keeps is paid for
verb:shoot !topic:page                                                          write copy spend irreversible  a body of data comes to exist twice, and is kept for money
verb:gain arg:size !arg:viewport                                                acquire spend irreversible  more of a resource is rented
verb:gain object:hosted|billable !topic:page                                    acquire spend irreversible  more of a resource is rented
verb:gain arg:amount                                                            acquire  more of a resource is obtained
verb:gain object:workload                                                       acquire  more of a resource is obtained
verb:buy object:holding|hosted|billable|storage                                 acquire  what is bought is held
verb:launch says:infrastructure                                                 write acquire spend schedule irreversible  what is set up runs, and is paid for
verb:create|gain head:holding                                                   acquire  room is obtained that was not there before
verb:change arg:amount !object:money                                            acquire  an argument says how much of a resource to hold
verb:deploying                                                                  write schedule  what is deployed goes on running
verb:enable object:standing                                                     write schedule  it goes on working from then on
verb:create object:standing                                                     write schedule  it goes on working from then on
verb:enable object:billable                                                     spend irreversible  a service that is switched on is paid for
verb:grant object:issued                                                        write acquire irreversible  credentials come of it
verb:grant object:rights|accounts                                               write acquire irreversible  rights come of it
verb:entitle object:rights                                                      write acquire irreversible  rights come of it
arg:role verb:grant|entitle                                                     acquire irreversible  an argument says which rights
verb:timed                                                                      write schedule  it makes something happen later, or again
verb:timed object:message                                                       send irreversible  what is to be sent later is sent
verb:settle object:message                                                      write  it is marked as settled
arg:cron !verb:look                                                             schedule  an argument says when it is to happen
says:later verb:create|run|enable                                               schedule  its description says that it goes on without the caller
head:mind !verb:look|remove|halt|change                                         write delegate  an agent is made to act
says:agent verb:study                                                           delegate  another model or agent is asked
verb:enlist object:agent                                                        write delegate  somebody else is made to act
says:agent verb:enlist|create|run|send                                          delegate  another model or agent acts on what it is given
arg:agent arg:prompt                                                            delegate  an agent is given a task
verb:assign object:work|people                                                  write delegate send irreversible  somebody is asked to act
says:asks-person                                                                delegate send irreversible  somebody is asked to act
arg:assignee !verb:look                                                         delegate send irreversible  somebody is asked to act
verb:upload topic:storage !topic:page                                           write copy  a body of data comes to exist there too
verb:copy                                                                       copy  a body of data comes to exist twice
verb:copy object:file|private|body says:returns                                 read secrets  it hands over what it copied
verb:move arg:region                                                            write copy  it comes to exist in another place
arg:save-path verb:look|shoot|contents                                          copy irreversible  what it returns is also written to a file, over what was there
arg:file-name verb:look|shoot|contents !object:meta|file                        copy irreversible  what it returns is also written to a file, over what was there
says:saves-file                                                                 copy write  its description says that it writes a file
verb:create arg:url says:fetches-url !topic:page                                copy  it makes a copy of what stands at the address
verb:contents object:private|file !object:meta !verb:about                      secrets  content may hold credentials or private matter
verb:rows object:storage                                                        read secrets  rows may hold credentials or private matter
verb:contents object:body                                                       secrets  content may hold credentials or private matter
verb:look object:letters !object:meta                                           secrets  what people write to each other is private
says:environment verb:look                                                      secrets  environment variables hold credentials
says:credential verb:look                                                       secrets  its description speaks of credentials
verb:look object:credential                                                     secrets  it returns credentials
verb:look object:traffic                                                        secrets  requests, consoles and stores of a browser hold credentials
verb:contents topic:page !verb:point|input                                      secrets  a page shows what its user may see
verb:change|create says:overwrites !arg:versioned                               irreversible  what was there before is gone
verb:change arg:body object:file|private|body !arg:versioned !verb:move|create  irreversible  what was there before is gone
hint:destroy verb:change|create !topic:page                                     irreversible  its own annotation says that it may destroy
says:forever                                                                    irreversible  its description says that it cannot be undone
"""  # noqa: E501  (a table is read by its columns)

# Two words that mean one thing, as they are met in names and descriptions.
_JOINED = {
    "shut down": "shutdown",
    "power off": "poweroff",
    "power down": "poweroff",
    "turn off": "poweroff",
    "power cycle": "reboot",
    "power on": "power",
    "turn on": "power",
    "scale down": "scaledown",
    "go back": "goback",
    "navigate back": "goback",
    "go forward": "goforward",
    "payment link": "paymentlink",
    "environment variable": "env",
    "scale up": "upscale",
    "roll back": "rollback",
    "check out": "checkout",
    "sign in": "signin",
    "log in": "login",
    "log out": "logout",
    "set up": "configure",
    "hand off": "handoff",
    "back up": "backup",
    "pull request": "pullrequest",
    "merge request": "pullrequest",
    "load balancer": "loadbalancer",
    "access key": "apikey",
    "api key": "apikey",
    "ssh key": "ssh",
    "service account": "serviceaccount",
    "payment intent": "paymentintent",
    "cron job": "cronjob",
    "knowledge graph": "graph",
}

_LIGHT_WORDS = """
take make perform do give use apply issue initiate begin trigger handle allow let help carry
conduct
"""
_LIGHT = frozenset(_LIGHT_WORDS.split())
"""Verbs that say little: what follows them says what is done (`take a snapshot`)."""


@dataclass(frozen=True)
class Cue:
    """One row of the table: all of `needs` met, none of `bars`, and it adds `adds`, as `why`."""

    text: str
    needs: tuple[frozenset[str], ...]
    bars: frozenset[str]
    adds: frozenset[str]
    why: str


def _classes(table: str) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """Read a table of words: word -> classes, for the strong words and for the weak ones."""
    strong: dict[str, set[str]] = {}
    weak: dict[str, set[str]] = {}
    name = ""
    for line in table.strip().splitlines():
        head, *words = line.split()
        name, words = (name, [head, *words]) if line[0] == " " else (head, words)
        for word in words:
            bare = word.removeprefix("~")
            (weak if word != bare else strong).setdefault(bare, set()).add(name)
    return _frozen(strong), _frozen(weak)


def _frozen(words: dict[str, set[str]]) -> dict[str, frozenset[str]]:
    return {word: frozenset(names) for word, names in words.items()}


def _read_cue(line: str) -> Cue:
    condition, adds, why = re.split(r" {2,}", line.strip(), maxsplit=2)
    needs: list[frozenset[str]] = []
    bars: set[str] = set()
    for term in condition.split():
        where, _, names = term.lstrip("!").partition(":")
        met = frozenset(f"{where}:{name}" for name in names.split("|"))
        if term.startswith("!"):
            bars |= met
        else:
            needs.append(met)
    return Cue(condition, tuple(needs), frozenset(bars), frozenset(adds.split()), why)


STRONG_VERBS, WEAK_VERBS = _classes(_VERB_WORDS)
NOUNS, _ = _classes(_NOUNS)
PHRASES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {name: re.compile(pattern) for name, pattern in _PHRASES.items()}
)
ARGUMENTS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {name: re.compile(pattern) for name, pattern in _ARGUMENTS.items()}
)
CUES: tuple[Cue, ...] = tuple(_read_cue(line) for line in _CUES.strip().splitlines())
"""The table, row by row."""


def _root_in(word: str, tables: tuple[Mapping[str, frozenset[str]], ...]) -> str:
    if any(word in table for table in tables):
        return word
    for ending, instead in (("ies", "y"), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            stem = word[: -len(ending)] + instead
            if any(stem in table for table in tables):
                return stem
    return word


@cache
def root_of(word: str) -> str:
    """Return the verb that the tables know: `shows` -> `show`, `queries` -> `query`."""
    return _root_in(word, (STRONG_VERBS, WEAK_VERBS))


@cache
def noun_of(word: str) -> str:
    """Return the noun that the tables know: `entities` -> `entity`."""
    return _root_in(word, (NOUNS,))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word  # noqa: PLR2004


@cache
def words_of(text: str) -> tuple[str, ...]:
    """Split a name or a text into lower-case words: `getFileInfo`, `get-file_info` alike."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    words = re.findall(r"[a-z]+|\d+", spaced.lower())
    joined: list[str] = []
    for word in words:
        pair = f"{joined[-1]} {_singular(word)}" if joined else ""
        if pair in _JOINED:
            joined[-1] = _JOINED[pair]
        else:
            joined.append(word)
    return tuple(joined)


def is_light(word: str) -> bool:
    """Say whether a verb says little by itself (`take`, `make`, `perform`)."""
    return word in _LIGHT
