"""The API from registration to a receipt, on both databases."""

from tests.gateway.conftest import enrol


def test_from_registration_to_an_offer(api, gateway):
    person = enrol(api, username="Ada")
    assert gateway.queue.prepare() == 6
    offer = api.post("/api/v1/batch/request", json={}, headers=person.headers)
    assert offer.status_code == 200, offer.text
    body = offer.json()
    again = api.post("/api/v1/batch/request", json={}, headers=person.headers).json()
    assert again == body and body["model_version"] == "v0" and body["num_samples"] == 8 and body["steps"] == 2
    data = api.get(body["data_url"], headers=person.headers)
    assert len(data.content) == 2 * 2 * 4 * 33 and data.headers["etag"] == f'"{body["data_sha256"]}"'
    current = api.get("/api/v1/model/current").json()
    model = api.get(current["url"], headers=person.headers)
    assert len(model.content) == current["size"]
    assert api.get("/api/v1/stats/global").json()["idle_reason"] == ""
