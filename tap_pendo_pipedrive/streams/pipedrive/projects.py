"""Projects with their boards, phases, templates and tasks. An add-on of some plans."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pipedrive.children import ChildStream, ParentStream
from tap_pendo_pipedrive.streams.pipedrive.custom_fields import CustomFieldStream
from tap_pendo_pipedrive.streams.pipedrive.sales import ArchivingStream
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream, Params, WholeStream


class Projects(ArchivingStream, CustomFieldStream, CursorStream):
    """Projects, archived and deleted ones too."""

    name = "pipedrive_projects"
    path = "/api/v2/projects"
    primary_keys = ("id",)
    gated = True
    archived_cost = 10
    with_deleted: t.ClassVar[Params] = {"status": "open,completed,canceled,deleted"}
    fields_stream = "pipedrive_project_fields"


class ProjectBoards(ParentStream, WholeStream):
    """Boards of projects."""

    name = "pipedrive_project_boards"
    path = "/api/v2/boards"
    primary_keys = ("id",)
    gated = True


class ProjectPhases(ChildStream, WholeStream):
    """Phases of the projects of each board."""

    name = "pipedrive_project_phases"
    path = "/api/v2/phases"
    primary_keys = ("id",)
    parent_stream_type = ProjectBoards
    parent_key = parent_param = "board_id"
    selected_by_default = True  # There are few boards.


class ProjectTemplates(CursorStream):
    """Templates of projects."""

    name = "pipedrive_project_templates"
    path = "/api/v2/projectTemplates"
    primary_keys = ("id",)
    gated = True


class Tasks(CursorStream):
    """Tasks of projects."""

    name = "pipedrive_tasks"
    path = "/api/v2/tasks"
    primary_keys = ("id",)
    gated = True
