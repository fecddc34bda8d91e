package chat

import (
	"testing"

	"parley/store/storetest"
)

// Every statement of this package is keyed, also while the tables are too young to have
// statistics.
func TestStatements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ann, _, id := b.pair()
	for range 50 {
		b.send(ann, id, "x")
	}
	statements := map[string]string{
		"lockConversations": lockConversations, "appendMessages": appendMessages, "actOnMessage": actOnMessage,
		"selectMembershipsOf": selectMembershipsOf, "selectEntriesBehind": selectEntriesBehind, "selectAdmitted": selectAdmitted, "selectLastSeqs": selectLastSeqs,
		"selectDirect": selectDirect, "insertDirect": insertDirect, "insertGroup": insertGroup, "updateGroup": updateGroup,
		"countActiveUsers": countActiveUsers, "lockUsers": lockUsers, "shareUsers": shareUsers, "insertBlock": insertBlock, "deleteBlock": deleteBlock, "deleteBlocksOf": deleteBlocksOf,
		"lockDirect": lockDirect, "updateBlocked": updateBlocked, "selectBlock": selectBlock, "selectEitherBlock": selectEitherBlock,
		"selectBlockedUsers": selectBlockedUsers, "selectRefusedAdds": selectRefusedAdds, "acceptConversation": acceptConversation, "selectStanding": selectStanding, "insertMembers": insertMembers, "insertEntries": insertEntries,
		"selectMemberPage": selectMemberPage, "selectMembersAmong": selectMembersAmong, "updateRole": updateRole, "endMembership": endMembership,
		"releaseStretches": releaseStretches, "countOtherOwners": countOtherOwners,
		"selectDisabledUsers": selectDisabledUsers, "selectUnmanagedGroups": selectUnmanagedGroups, "selectSuccession": selectSuccession,
		"revealMembership": revealMembership, "selectGroupByKey": selectGroupByKey, "selectFormerPage": selectFormerPage,
		"appendRemoval":  appendRemoval,
		"updateSettings": updateSettings, "selectConversationPage": selectConversationPage, "selectConversations": selectConversations, "selectFaces": selectFaces,
		"selectOpenMemberships": selectOpenMemberships, "closeDirect": closeDirect, "selectConversationsEver": selectConversationsEver,
		"selectUnerased": selectUnerased, "eraseBatch": eraseBatch, "insertErased": insertErased, "finishErasure": finishErasure,
		"selectExported": selectExported, "selectOwnEntries": selectOwnEntries,
	}
	storetest.Statements(t, b.db, statements)
	b.exec(`ANALYZE`)
	storetest.Statements(t, b.db, statements)
}
