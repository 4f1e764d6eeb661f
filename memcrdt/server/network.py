"""/v1/spaces, /v1/devices, /v1/pairing, /v1/sync and /v1/health: who shares what, and how the home is."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from memcrdt import AsyncMemory, Device, DoctorReport, PairedDevice, SpaceMember, SpaceStatus, StoreAlarm
from memcrdt.model import limits
from memcrdt.server.answers import json_of
from memcrdt.server.bodies import Body, Label
from memcrdt.server.callers import in_thread, service_of
from memcrdt.service import network
from memcrdt.service.network import Health, RevokedDevice
from memcrdt.service.pairings import Pairings, PairingState

WAIT_S: Final = 60.0
JOIN_S: Final = 60.0

router = APIRouter(prefix="/v1")

DeviceName = Annotated[str, Field(min_length=1, max_length=limits.NAME_CHARS)]
Address = Annotated[str, Field(min_length=1, max_length=limits.NAME_CHARS, examples=["192.168.1.20:27380"])]
Spaces = Annotated[list[Label], Field(min_length=1, max_length=64)]
Wait = Annotated[float, Query(ge=0, le=WAIT_S, description="Seconds to wait")]


class SpaceInvitation(Body):
    """A device to share a space with."""

    device: DeviceName = Field(description="The id, the name, or the first characters of one")


class DeviceAcceptance(Body):
    """A device to trust. It has to accept this device too."""

    device: Annotated[str, Field(min_length=1, max_length=80)] = Field(description="The device id")
    name: Label | None = Field(None, description="The local name for the device")
    address: Address | None = None
    spaces: Spaces | None = Field(None, description="Spaces to share. Default: `personal`, or the first of the token")


class PairingRequest(Body):
    """A code to show."""

    spaces: Spaces | None = Field(None, description="Spaces to share. Default: `personal`, or the first of the token")
    read_only: bool = Field(False, description="Whether the other device may only read them")
    name: Label | None = Field(None, description="The local name for the other device")


class PairingCode(Body):
    """The code that another device shows."""

    code: Annotated[str, Field(min_length=1, max_length=200, examples=["7-crossover-granite"])]
    address: Address | None = Field(None, description="Where the other device is, if it is not found")
    name: Label | None = Field(None, description="The local name for the other device")


class SyncState(Body):
    """Whether the devices have the same memories. `text` says it in sentences."""

    text: str
    state: str
    serving: bool
    devices: list[dict[str, str | bool | int | None]]


@router.get("/spaces", tags=["spaces"], response_model=list[SpaceStatus])
def get_spaces(request: Request) -> JSONResponse:
    """Return the spaces that the token opens, with their sizes, members and digests."""
    return json_of([each.to_dict() for each in network.spaces(service_of(request))])


@router.get("/spaces/{name}", tags=["spaces"], response_model=SpaceStatus)
def get_space(request: Request, name: Annotated[Label, Path()]) -> JSONResponse:
    """Return one space."""
    return json_of(network.space(service_of(request), name).to_dict())


@router.get("/spaces/{name}/members", tags=["spaces"], response_model=list[SpaceMember])
def get_members(request: Request, name: Annotated[Label, Path()]) -> JSONResponse:
    """Return who shares the space, and who was revoked from it."""
    return json_of([each.to_dict() for each in network.members(service_of(request), name)])


@router.post("/spaces/{name}/members", tags=["spaces"], response_model=list[SpaceMember])
def invite_member(request: Request, name: Annotated[Label, Path()], given: SpaceInvitation) -> JSONResponse:
    """Share the space with an accepted device, which has to do the same. Needs the right `admin`."""
    return json_of([each.to_dict() for each in network.invite_member(service_of(request), name, given.device)])


@router.delete("/spaces/{name}/members/{device}", tags=["spaces"], response_model=list[SpaceMember])
def revoke_member(
    request: Request, name: Annotated[Label, Path()], device: Annotated[DeviceName, Path()]
) -> JSONResponse:
    """Remove a device from the space, for all members. It keeps what it has. Needs the right `admin`."""
    return json_of([each.to_dict() for each in network.revoke_member(service_of(request), name, device)])


@router.get("/devices", tags=["devices"], response_model=list[Device])
def get_devices(request: Request) -> JSONResponse:
    """Return the other devices that share a space of the token, and how far each is behind.

    With the right `admin`, also their addresses, and unknown devices that tried to connect.
    """
    return json_of([each.to_dict() for each in network.devices(service_of(request))])


@router.post("/devices", tags=["devices"], response_model=Device)
def accept_device(request: Request, given: DeviceAcceptance) -> JSONResponse:
    """Trust a device, and share spaces of the token with it. Needs the right `admin`."""
    found = network.accept(
        service_of(request), given.device, name=given.name, address=given.address, spaces=given.spaces
    )
    return json_of(found.to_dict())


@router.get("/devices/{device}", tags=["devices"], response_model=Device)
def get_device(request: Request, device: Annotated[DeviceName, Path()]) -> JSONResponse:
    """Return one device, by its id, its name, or the first characters of one."""
    return json_of(network.device(service_of(request), device).to_dict())


@router.delete("/devices/{device}", tags=["devices"], response_model=RevokedDevice)
def revoke_device(request: Request, device: Annotated[DeviceName, Path()]) -> JSONResponse:
    """Stop trusting a device, and remove it from every space. Needs `admin`, and every space that it shares."""
    return json_of(network.revoke(service_of(request), device).to_dict())


@router.post("/pairing", tags=["pairing"], status_code=201, response_model=PairingState)
async def offer_pairing(request: Request, given: PairingRequest) -> JSONResponse:
    """Show a code, and wait five minutes until it is typed on another device. Needs the right `admin`.

    Ask for the result at the address in `Location`. One wrong guess invalidates the code.
    """
    service = service_of(request)
    options = await in_thread(network.pairing_options, service, given.given())
    pairing = await _pairings(request).offer(service.access, options)
    headers = {"Cache-Control": "no-store", "Location": f"{request.url.path}/{pairing.id}"}
    return json_of(pairing.to_dict(), 201, headers)


@router.get("/pairing/{id}", tags=["pairing"], response_model=PairingState)
async def get_pairing(request: Request, id: Annotated[Label, Path()], wait: Wait = 0) -> JSONResponse:
    """Return what became of a code, at the latest after `wait` seconds. Needs the right `admin`."""
    access = service_of(request).access
    access.check("admin")
    return json_of((await _pairings(request).state(access, id, wait)).to_dict())


@router.delete("/pairing/{id}", tags=["pairing"], status_code=204, response_class=Response)
async def cancel_pairing(request: Request, id: Annotated[Label, Path()]) -> Response:
    """Make a code invalid. Needs the right `admin`."""
    access = service_of(request).access
    access.check("admin")
    await _pairings(request).cancel(access, id)
    return Response(status_code=204)


@router.post("/join", tags=["pairing"], response_model=PairedDevice)
async def join_pairing(request: Request, given: PairingCode) -> JSONResponse:
    """Pair with the device that shows this code, which decides what is shared.

    Needs the right `admin` and every space of this device. Takes up to a minute.
    """
    service = service_of(request)
    service.access.check("admin")
    await in_thread(network.check_every_space, service)
    code = await in_thread(service.memory.sync.spell, given.code)
    sync = AsyncMemory(service.memory).sync
    device = await sync.join(code, address=given.address, timeout=JOIN_S, name=given.name)
    return json_of(device.to_dict())


@router.get("/sync", tags=["sync"], response_model=SyncState)
def get_sync(request: Request) -> JSONResponse:
    """Say whether the devices have the same memories, and which ones lack something."""
    return json_of(service_of(request).sync_state())


@router.post("/sync", tags=["sync"], response_model=SyncState)
async def sync_now(request: Request, wait: Wait = 10) -> JSONResponse:
    """Sync now, and wait until the devices that can be reached have everything. Needs the right `write`."""
    service = service_of(request)
    service.access.check("write")
    await AsyncMemory(service.memory).sync.wait(timeout=wait)
    return json_of(await in_thread(service.sync_state))


@router.get("/health", tags=["health"], response_model=Health)
def get_health(request: Request) -> JSONResponse:
    """Return the verdict, the size, the budget, the model, and with the right `admin` the alarms."""
    return json_of(network.health(service_of(request)).to_dict())


@router.post("/alarms/acknowledge", tags=["health"], response_model=list[StoreAlarm])
def acknowledge_alarms(request: Request) -> JSONResponse:
    """Hide the present alarms, and return them. Needs the right `admin`."""
    return json_of([each.to_dict() for each in network.acknowledge(service_of(request))])


@router.get("/doctor", tags=["health"], response_model=DoctorReport)
def get_doctor_report(request: Request) -> JSONResponse:
    """Check every row of the store, and change nothing. Reads the whole store. Needs the right `admin`."""
    return json_of(network.examine(service_of(request)).to_dict())


def _pairings(request: Request) -> Pairings:
    pairings: Pairings = request.app.state.pairings
    return pairings
