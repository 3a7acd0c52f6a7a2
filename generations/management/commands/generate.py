import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.errors import ServiceError
from accounts.models import User
from gallery import storage
from generations import services
from generations.emulated import emulator_if_needed
from generations.events import Watch
from generations.models import Generation, Status
from generations.outcomes import OUTCOMES
from generations.spec import GenerationSpec
from generations.tasks import work_on
from generations.worker import keeping_leases


class Command(BaseCommand):
    help = "Make one picture from the shell, through the same submit() as every other door; prints the file's name."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prompt")
        parser.add_argument("--model")
        parser.add_argument("--ratio")
        parser.add_argument("--size")
        parser.add_argument("--seed", type=int)
        parser.add_argument("--out", type=Path, help="where to put the picture; default: generation id and format")
        parser.add_argument("--email", help="whose account pays; may be left out when there is only one account")

    def handle(self, *args: Any, **options: Any) -> None:
        user = self._user(options["email"])
        wish = {
            "prompt": options["prompt"],
            "model": options["model"],
            "aspect_ratio": options["ratio"],
            "image_size": options["size"],
            "seed": options["seed"],
        }
        given = {name: value for name, value in wish.items() if value is not None}
        try:
            spec = GenerationSpec.parse(given, default_image_size=settings.DEFAULT_IMAGE_SIZE)
            with emulator_if_needed(), keeping_leases():
                submission = services.submit(user=user, spec=spec, source="cli")
                generation = self._work_until_done(submission.generation)
        except ServiceError as error:
            details = "; ".join(f"{problem.field}: {problem.message}" for problem in error.errors)
            raise CommandError(f"{details or error.message} {error.remedy}") from error
        if generation.status != Status.SUCCEEDED:
            outcome = OUTCOMES.get(generation.error_code)
            what = f"{outcome.message} {outcome.remedy}" if outcome else "It was cancelled."
            raise CommandError(f"{what} You were not charged. ({generation.error_code or generation.status})")
        self.stdout.write(str(self._save(generation, options["out"])))

    def _user(self, email: str | None) -> User:
        if email:
            user = User.objects.filter(email=User.objects.normalize_email(email)).first()
            if user is None:
                raise CommandError(f"There is no account {email}.")
            return user
        users = list(User.objects.all()[:2])
        if len(users) != 1:
            raise CommandError("Say whose account pays: --email ADDRESS.")
        return users[0]

    def _work_until_done(self, generation: Generation) -> Generation:
        """Work on it here; a running server may be faster in claiming it, and then this only watches."""
        with Watch(generation.pk) as watch:
            while True:
                work_on(generation.pk)
                generation.refresh_from_db()
                if generation.is_terminal:
                    return generation
                pause_s = (generation.next_run_at - timezone.now()).total_seconds()
                watch.wait(max(0.1, pause_s))

    def _save(self, generation: Generation, out: Path | None) -> Path:
        blob = generation.shown_outputs.select_related("image__blob").get(index=0).image.blob
        suffix = blob.mime_type.rpartition("/")[2]
        target = out or Path(f"{generation.public_id}.{suffix}")
        with storage.open_stored(blob.storage_name) as picture, target.open("wb") as file:
            shutil.copyfileobj(picture, file)
        return target
