"""What every session store must do. A new store is done when a subclass of this passes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.sessions import Client, Lifetime, RetiredRecord, SessionDraft, SessionRecord, StoreUnavailable
from server.sessions.token import digest, new_handle, new_token

HOUR = Lifetime(idle=600, absolute=3600)


def draft(data: dict[str, Any] | None = None, **more: Any) -> SessionDraft:
    return SessionDraft(
        digest(new_token()), new_handle(), data or {}, HOUR, Client("Firefox", "::1", "UA"), **more
    )


async def find(store: Any, record: SessionRecord) -> Any:
    return (await store.find([record.id])).get(record.id)


@pytest.mark.gen_test
class StoreContract:
    """Needs the fixtures `store`, and `age`: `await age(record, expires_at=timedelta(seconds=-1))` makes a
    stored session older than it is, where the store keeps it."""

    @pytest.mark.covers("C2", "C10", "C12")
    async def test_a_stored_session_is_found_as_it_was(self, store: Any) -> None:
        data = {
            "text": "$name",
            "nested": {"list": [1, 2.5, None, True]},
            "when": datetime(2026, 1, 2, tzinfo=UTC),
        }

        made = await store.insert(draft(data, user_id="u1", epoch=3))
        found = await find(store, made)

        assert found.data == data
        assert (found.user_id, found.epoch, found.rev, found.handle) == ("u1", 3, 0, made.handle)
        assert found.client == Client("Firefox", "::1", "UA")
        assert found.expires_at - found.created_at == timedelta(seconds=600)
        assert found.ends_at - found.created_at == timedelta(seconds=3600)

    @pytest.mark.covers("R21")
    async def test_an_id_that_exists_is_never_overwritten(self, store: Any) -> None:
        first = draft({"a": 1})
        await store.insert(first)

        with pytest.raises(StoreUnavailable):
            await store.insert(first)

        assert (await store.find([first.id]))[first.id].data == {"a": 1}

    @pytest.mark.covers("C3")
    async def test_unknown_ids_are_simply_not_there(self, store: Any) -> None:
        assert await store.find([digest("unknown")]) == {}

    @pytest.mark.covers("S144", "R11")
    async def test_an_expired_session_is_gone_cleaned_up_or_not(self, store: Any, age: Any) -> None:
        made = await store.insert(draft({"a": 1}, user_id="u"))
        await age(made, expires_at=timedelta(seconds=-1))

        assert await find(store, made) is None
        assert await store.update(made.id, set_keys={"a": 2}) is None
        assert not await store.retire(made.id)
        assert await store.list_user("u") == []
        await store.touch([made.id])
        assert await find(store, made) is None

    @pytest.mark.covers("C5")
    async def test_only_the_named_keys_change(self, store: Any) -> None:
        made = await store.insert(draft({"a": 1, "b": 2, "n": 5}))

        after = await store.update(made.id, set_keys={"c": {"d": 1}}, unset_keys=["a"])

        assert after.data == {"b": 2, "n": 5, "c": {"d": 1}}
        assert after.rev == 1
        assert (await find(store, made)).data == after.data

    async def test_a_number_is_raised_in_place(self, store: Any) -> None:
        made = await store.insert(draft({"n": 5}))
        if store.can_increment:
            assert (await store.update(made.id, increments={"n": 2, "new": 1})).data == {"n": 7, "new": 1}

    async def test_parallel_writers_of_different_keys_merge(self, store: Any) -> None:
        made = await store.insert(draft())

        await asyncio.gather(*(store.update(made.id, set_keys={f"k{i}": i}) for i in range(20)))

        found = await find(store, made)
        assert found.data == {f"k{i}": i for i in range(20)}
        assert found.rev == 20

    async def test_a_write_that_knows_an_old_state_is_refused(self, store: Any) -> None:
        made = await store.insert(draft())
        await store.update(made.id, set_keys={"a": 1}, rev=0)

        assert await store.update(made.id, set_keys={"a": 2}, rev=0) is None
        assert not await store.retire(made.id, rev=0)
        assert (await find(store, made)).data == {"a": 1}

    async def test_no_write_brings_back_what_has_ended(self, store: Any) -> None:
        made = await store.insert(draft({"a": 1}))
        assert await store.end(made.id)

        assert await store.update(made.id, set_keys={"a": 2}) is None
        await store.touch([made.id])
        assert not await store.retire(made.id)
        assert not await store.end(made.id)
        assert await find(store, made) is None

    async def test_a_retired_session_leaves_a_mark(self, store: Any) -> None:
        made = await store.insert(draft({"secret": 1}, user_id="u"))

        assert await store.retire(made.id)

        assert await find(store, made) == RetiredRecord(made.id)
        assert not await store.retire(made.id)
        assert await store.update(made.id, set_keys={"a": 1}) is None
        assert await store.list_user("u") == []

    async def test_ten_parallel_retirements_have_one_winner(self, store: Any) -> None:
        made = await store.insert(draft())

        assert sum(await asyncio.gather(*(store.retire(made.id, rev=0) for _ in range(10)))) == 1

    @pytest.mark.covers("C21", "R15")
    async def test_a_touch_never_moves_the_end_past_the_absolute_end(self, store: Any, age: Any) -> None:
        made, late = await store.insert(draft()), await store.insert(draft())
        await age(made, expires_at=timedelta(seconds=60))
        await age(late, expires_at=timedelta(seconds=60), ends_at=timedelta(seconds=90))

        await store.touch([made.id, late.id])

        found = await store.find([made.id, late.id])
        assert found[made.id].expires_at - found[made.id].seen_at == timedelta(seconds=600)
        assert found[late.id].expires_at == found[late.id].ends_at

    async def test_a_new_token_keeps_the_age_of_the_session(self, store: Any) -> None:
        made = await store.insert(draft())

        copy = await store.insert(draft(created_at=made.created_at, ends_at=made.ends_at))

        assert (copy.created_at, copy.ends_at) == (made.created_at, made.ends_at)

    async def test_all_sessions_of_a_user_end_but_one_and_nobody_elses(self, store: Any) -> None:
        mine = [await store.insert(draft(user_id="me")) for _ in range(3)]
        other = await store.insert(draft(user_id="other"))

        assert await store.end_user("me", except_id=mine[0].id) == 2

        assert [record.id for record in await store.list_user("me")] == [mine[0].id]
        assert await find(store, other)
        assert await store.end_user("me") == 1

    @pytest.mark.covers("R17")
    async def test_sessions_of_an_earlier_epoch_end_and_later_ones_stay(self, store: Any, age: Any) -> None:
        old = [await store.insert(draft(user_id="me", epoch=epoch)) for epoch in (0, 1, 1)]
        new = await store.insert(draft(user_id="me", epoch=2))
        await age(old[0], expires_at=timedelta(seconds=-1))

        assert await store.end_user("me", before_epoch=2) == 2  # one had expired already

        assert [record.id for record in await store.list_user("me")] == [new.id]

    @pytest.mark.covers("R18")
    async def test_sessions_beyond_a_number_end_the_least_recently_active_first(
        self, store: Any, age: Any
    ) -> None:
        made = [await store.insert(draft(user_id="me", epoch=0)) for _ in range(5)]
        other = await store.insert(draft(user_id="other", epoch=0))
        await age(made[4], active_at=timedelta(minutes=-9))
        await age(made[0], active_at=timedelta(minutes=-5))

        assert await store.trim_user("me", keep=3) == 2
        assert await store.trim_user("me", keep=3) == 0

        assert {record.id for record in await store.list_user("me")} == {record.id for record in made[1:4]}
        assert await find(store, other)
