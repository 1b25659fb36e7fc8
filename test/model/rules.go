package model

// Rule is one rule of the protocol, which a search can leave out.
type Rule string

// The rules, in the order of a job's way. TestProtocol_NeedsEveryRule has, for each,
// the faults under which it is missed.
const (
	everyRule Rule = ""

	// Dispatch.
	fenceIsRandom      Rule = "a dispatch id is never given twice, whatever Postgres forgets"
	pushOnce           Rule = "push notes the batch in the step that pushes it, and refuses a noted one"
	pushDeadline       Rule = "push is refused after its deadline"
	noteOutlivesRecord Rule = "a noted batch is forgotten only when its seq is recorded and every push of it is late"
	pushNamesEpoch     Rule = "push is refused in another epoch"
	scriptsCheckLife   Rule = "scripts compare the life with the process they run in"
	onlyPresentEpoch   Rule = "rows of ended epochs are never pushed again"
	heldNotRecovered   Rule = "rows with a Postgres lease are never pushed"
	rebuildByDispatch  Rule = "a batch is rebuilt by id, dispatch and status"

	// A new epoch.
	windowThrownAway  Rule = "open throws the lists away"
	lostIsKept        Rule = "open keeps leases and lost"
	timelineEndsEpoch Rule = "another Postgres ends every epoch before the first claim"
	aboveRedis        Rule = "a new epoch is above what Redis holds"
	claimNeedsOpen    Rule = "nothing is claimed in an epoch that is not open in Redis"

	// Reap, settle.
	expiredMoves       Rule = "expired moves ended leases to lost in one step"
	expiredDeadline    Rule = "expired is refused after its deadline"
	contactBeforeReap  Rule = "a relay reaps only after one lease of unbroken contact"
	steadyBeforeReap   Rule = "a relay reaps only after one lease of steady contact with Postgres"
	loseNamesEpoch     Rule = "lose is refused in another epoch"
	waitBeforeSettle   Rule = "a relay settles only after one lease, or when every living worker has announced"
	steadyBeforeSettle Rule = "a relay settles only after one lease of steady contact with Postgres"
	earlyNeedsAll      Rule = "it settles early only when no worker has fallen silent"
	missingMoves       Rule = "missing moves what has no lease to lost in one step"
	missingDoesntCount Rule = "what an ended epoch left behind is not counted as lost"
	heldNotSettled     Rule = "rows with a Postgres lease are never settled"

	// Take, run, reconcile.
	takeToken          Rule = "an unanswered take is repeated with its token"
	tokenVerified      Rule = "what a token of an earlier epoch brings is verified before it is begun"
	takeAfterBeat      Rule = "a worker takes nothing before Postgres has heard its first beat"
	takeDropsKnown     Rule = "take drops copies that are leased, lost or called off"
	outcomeFenced      Rule = "an outcome is accepted only under the current dispatch"
	postgresFirst      Rule = "the lease is given up after Postgres has judged"
	finalReplacesStart Rule = "a final outcome replaces a waiting start"
	releaseNamesEpoch  Rule = "what an ended epoch brought is not released into a window"
	releaseRemovesOwn  Rule = "release pushes back only what its own ZREM removed"
	endAtLimit         Rule = "a worker ends what it could not renew for 13 s"
	beginChecksLease   Rule = "what was not renewed for 13 s is not begun"
	announceAnew       Rule = "a worker announces in a new epoch what it runs"
	announceNotLost    Rule = "announce is refused for what is being taken back"
	verifyAfter        Rule = "it verifies in Postgres what it announced"
	joinBeforeTake     Rule = "it takes again only when it has verified"
	orderNamesAttempt  Rule = "a cancel order names the attempt"

	// Adopt.
	adoptLeasedOnly  Rule = "only what has a lease in Redis is adopted"
	adoptRenewsFirst Rule = "who adopts an attempt renews its lease, and then asks Postgres whether it is current"
	ownNotWritten    Rule = "what a holder ends by itself it leaves to the lease, for another may have it"
	sharedVerified   Rule = "who may share an attempt verifies it with each beat"
	heldOutlives     Rule = "what is held in Postgres outlives a silent client by what the other holder needs to hear of it"

	// Hold.
	holds            Rule = "what Redis does not renew is held in Postgres"
	holdsBehind      Rule = "a renewal in an epoch that has ended does not keep an attempt from being held"
	holdKeepsLease   Rule = "until a hold is answered the old lease is renewed, too"
	holdSameID       Rule = "an unanswered hold is sent again under the same id"
	holdDoesntCount  Rule = "from the moment a hold is sent nothing that Redis says of the attempt counts"
	writerWaits      Rule = "no outcome is written while its hold is unanswered"
	writerNotHeld    Rule = "an outcome in the writer's hands is not held"
	heldNotReleased  Rule = "what is held in Postgres is not released into Redis"
	goneIsOver       Rule = "what a renewal in Postgres does not bring back is over"
	steadyBeforeBack Rule = "Postgres leases are taken back only after one lease of steady contact"
	clockBeforeBack  Rule = "a jump of Postgres' clock begins that contact anew"
	rowLock          Rule = "a renewal and a taking back exclude each other by the row's lock"

	// Direct, away.
	directSameID Rule = "an unanswered direct claim is sent again under the same id"
	awayNewEpoch Rule = "a new epoch begins before anything is settled without Redis"
	awayWaits    Rule = "settling without Redis waits one lease"
	awayItself   Rule = "only a relay that itself reaches no Redis begins or settles without it"
	awayTimeline Rule = "another Postgres ends the epoch while Redis is away, too"
	awaySteady   Rule = "it settles without Redis only after one lease of steady contact with Postgres"
	awayWhenLeft Rule = "the epoch ends whenever rows of it are for a Redis that is away"

	// Audit.
	auditPushedOnly Rule = "the audit looks only at batches pushed long ago"
	auditReadsTwice Rule = "the audit reads the leases before and after the lists"
)
