from django.db import migrations


def confirm_addresses(apps, schema_editor):
    """Accounts older than the confirmation of addresses go on signing in with theirs."""
    User = apps.get_model("accounts", "User")
    EmailAddress = apps.get_model("account", "EmailAddress")
    known = EmailAddress.objects.values("user_id")
    addresses = (
        EmailAddress(user_id=pk, email=email, verified=True, primary=True)
        for pk, email in User.objects.exclude(pk__in=known).values_list("pk", "email").iterator()
    )
    EmailAddress.objects.bulk_create(addresses, batch_size=500)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_onboarding"),
        ("account", "0009_emailaddress_unique_primary_email"),
    ]

    operations = [migrations.RunPython(confirm_addresses, migrations.RunPython.noop)]
